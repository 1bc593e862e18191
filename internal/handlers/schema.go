package handlers

import (
	"maps"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
	"accountservice/internal/store/transfer"
)

// The schemas of an account in the document.
const (
	accountSchema = "Account"            // in answers
	draftSchema   = "AccountDraft"       // in bodies that create it
	putSchema     = "AccountReplacement" // in bodies that create it under an id, or replace it
	patchSchema   = "AccountPatch"       // in bodies that change it
	lineSchema    = "AccountLine"        // in imports and exports
	idsSchema     = "AccountIDs"
)

// refToAccount stands for store.Account, whose schema is accountSchema.
type refToAccount struct{}

// Schema implements huma.SchemaProvider.
func (refToAccount) Schema(huma.Registry) *huma.Schema { return schemaRef(accountSchema) }

func schemaRef(name string) *huma.Schema { return &huma.Schema{Ref: "#/components/schemas/" + name} }

// describeAccounts adds the schemas to the document. A new field of an account is a
// new property here: of content if clients decide it.
func describeAccounts(registry huma.Registry) {
	registry.RegisterTypeAlias(reflect.TypeFor[store.Account](), reflect.TypeFor[refToAccount]())
	content := map[string]*huma.Schema{
		"name": text(store.MaxNameLength, "1 to 256 characters, one of them visible, no control characters; "+
			"kept as it comes, in any normalization form", "Person_0"),
		"email": {Type: huma.TypeString, MaxLength: new(store.MaxEmailLength), Format: "email", Nullable: true,
			Description: "Absent if there is none; null or empty is none. No spaces or invisible characters; " +
				"the DNS can hold its domain", Examples: []any{"ada@example.org"}},
		"labels": labelsSchema(store.MaxLabels, "Absent if there are none; null is none"),
	}
	patched := maps.Clone(content)
	patched["labels"] = labelsSchema(2*store.MaxLabels, "Added or replaced one by one; null removes one, or all")
	patched["labels"].AdditionalProperties.(*huma.Schema).Nullable = true
	line := map[string]*huma.Schema{
		"id": idSchema(),
		"version": {Type: huma.TypeInteger, Format: "int64", Minimum: new(1.0), Maximum: new(float64(store.MaxVersion)),
			Nullable: true, Description: "1 when created, one more at each change. " +
				"An import keeps it if the account is new, and is above it if it is replaced"},
		"created_at": timeSchema("UTC, with six digits of a second; absent if it is not known"),
		"updated_at": timeSchema("UTC, with six digits of a second, not before created_at; absent if it is not known"),
	}
	readOnly := make(map[string]*huma.Schema)
	for name, property := range line {
		same := *property
		same.ReadOnly, same.Nullable = true, true
		same.Description = "Read-only: taken if it is that of the stored account, else refused"
		readOnly[name] = &same
	}
	put := maps.Clone(readOnly)
	maps.Copy(put, content)
	maps.Copy(patched, readOnly)
	maps.Copy(line, content)
	answered := make(map[string]*huma.Schema)
	for name, property := range line {
		answered[name] = unlimited(property)
	}
	schemas := registry.Map()
	schemas[accountSchema] = object(answered, "id", "name", "version")
	schemas[draftSchema] = object(content, "name")
	schemas[putSchema] = object(put, "name")
	schemas[patchSchema] = object(patched)
	schemas[lineSchema] = object(line, "id", "name")
	schemas[idsSchema] = object(map[string]*huma.Schema{"ids": {Type: huma.TypeArray, Items: idSchema(), MinItems: new(1),
		MaxItems: new(transfer.MaxIDs), Examples: []any{[]string{"10000"}}}}, "ids")
}

func object(properties map[string]*huma.Schema, required ...string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Properties: properties, Required: required, AdditionalProperties: false}
}

func text(most int, description, example string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, MinLength: new(1), MaxLength: &most,
		Description: description, Examples: []any{example}}
}

func idSchema() *huma.Schema {
	schema := text(store.MaxIDLength, "1 to 64 of A-Z a-z 0-9 . _ ~ -, and not . or ..", "10000")
	schema.Pattern = store.IDPattern
	return schema
}

func timeSchema(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time", Nullable: true, Description: description}
}

func labelsSchema(most int, description string) *huma.Schema {
	key := map[string]any{"pattern": store.LabelKeyPattern, "maxLength": store.MaxLabelKeyLength}
	return &huma.Schema{Type: huma.TypeObject, Nullable: true, MaxProperties: &most, Description: description,
		AdditionalProperties: &huma.Schema{Type: huma.TypeString, MaxLength: new(store.MaxLabelLength)},
		Extensions:           map[string]any{"propertyNames": key}}
}

// unlimited returns s as answers have it: a database that another program wrote
// can have accounts beyond the limits of text.
func unlimited(s *huma.Schema) *huma.Schema {
	bare := &huma.Schema{Type: s.Type, Minimum: s.Minimum, Description: s.Description, Examples: s.Examples}
	if s.Format != "email" {
		bare.Format = s.Format
	}
	if of, is := s.AdditionalProperties.(*huma.Schema); is {
		bare.AdditionalProperties = unlimited(of)
	}
	return bare
}
