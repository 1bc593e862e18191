package handlers

import (
	"maps"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/store"
)

// mergePatch is a body of application/merge-patch+json: null removes.
type mergePatch struct{ value any }

// UnmarshalJSON implements json.Unmarshaler.
func (p *mergePatch) UnmarshalJSON(data []byte) error { return unmarshalStrict(data, &p.value) }

// Schema implements huma.SchemaProvider: a draft of which everything may be
// absent, and null where there may be nothing.
func (mergePatch) Schema(r huma.Registry) *huma.Schema {
	draft := r.SchemaFromRef(r.Schema(typeOf[accountDraft](), true, "").Ref)
	labels := labelsSchema(true)
	labels.Description = "Added or replaced one by one; null removes one, or all"
	properties := maps.Clone(draft.Properties)
	properties["labels"] = labels
	return &huma.Schema{Type: huma.TypeObject, Properties: properties, AdditionalProperties: false}
}

// merge is MergePatch of RFC 7396, 2. It may change and keep parts of target.
func merge(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	object, ok := target.(map[string]any)
	if !ok {
		object = make(map[string]any)
	}
	for name, value := range changes {
		if value == nil {
			delete(object, name)
		} else {
			object[name] = merge(object[name], value)
		}
	}
	return object
}

// validKeys refuses a label that can't be there, if only to remove it: the
// schema says so, and its validation passes over the names of members.
func (p mergePatch) validKeys() error {
	changes, _ := p.value.(map[string]any)
	keys, _ := changes["labels"].(map[string]any)
	for key := range keys {
		if err := (store.Draft{Name: "x", Labels: map[string]string{key: ""}}).Validate(); err != nil {
			return err
		}
	}
	return nil
}

// apply makes the patch's changes to acc. The schema has looked at the patch.
func (p mergePatch) apply(acc store.Account) (store.Draft, error) {
	current := map[string]any{"name": acc.Name}
	if acc.Email != "" {
		current["email"] = acc.Email
	}
	if len(acc.Labels) > 0 {
		kept := make(map[string]any, len(acc.Labels))
		for key, value := range acc.Labels {
			kept[key] = value
		}
		current["labels"] = kept
	}
	merged, _ := merge(current, p.value).(map[string]any)
	name, _ := merged["name"].(string)
	email, _ := merged["email"].(string)
	draft := store.Draft{Name: name, Email: email}
	if labels, _ := merged["labels"].(map[string]any); len(labels) > 0 {
		draft.Labels = make(map[string]string, len(labels))
		for key, value := range labels {
			draft.Labels[key], _ = value.(string)
		}
	}
	return draft, nil
}
