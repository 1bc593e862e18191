// Command pocketbase is PocketBase as a library, with one public collection of accounts, for make bench-peers.
package main

import (
	"fmt"
	"log"

	"github.com/pocketbase/pocketbase"
	"github.com/pocketbase/pocketbase/core"
)

// accounts is how many the collection has: as many as the tutorial's service.
const accounts = 100

func main() {
	app := pocketbase.New()
	app.OnServe().BindFunc(func(e *core.ServeEvent) error {
		if err := fill(e.App); err != nil {
			return err
		}
		return e.Next()
	})
	log.Fatal(app.Start())
}

// fill makes the collection in a new database.
func fill(app core.App) error {
	if _, err := app.FindCollectionByNameOrId("accounts"); err == nil {
		return nil
	}
	all := core.NewBaseCollection("accounts")
	all.ViewRule, all.CreateRule = new(""), new("") // everybody may
	all.Fields.Add(&core.TextField{Name: "name", Required: true})
	if err := app.Save(all); err != nil {
		return err
	}
	for i := range accounts {
		record := core.NewRecord(all)
		record.Id = fmt.Sprintf("%015d", 10000+i) // the length that PocketBase wants
		record.Set("name", fmt.Sprint("Person_", i))
		if err := app.Save(record); err != nil {
			return err
		}
	}
	return nil
}
