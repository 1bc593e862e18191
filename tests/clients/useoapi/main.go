// Command useoapi uses the service at a URL by the client that oapi-codegen makes of its document.
package main

import (
	"context"
	"fmt"
	"os"

	"accountservice/tests/clients/oapi"
)

func main() {
	if err := use(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func use(ctx context.Context, url string) error {
	c, err := oapi.NewClientWithResponses(url)
	if err != nil {
		return err
	}
	key := "oapi-codegen"
	created, err := c.CreateAccountWithResponse(ctx, &oapi.CreateAccountParams{IdempotencyKey: &key},
		oapi.AccountDraft{Name: "Ada", Labels: &map[string]string{"team": "red"}})
	if err != nil || created.JSON201 == nil {
		return fmt.Errorf("create: %v %s", err, created.Body)
	}
	got, err := c.GetAccountWithResponse(ctx, created.JSON201.Id, nil)
	if err != nil || got.JSON200 == nil || got.JSON200.Name != "Ada" || (*got.JSON200.Labels)["team"] != "red" {
		return fmt.Errorf("get: %v %s", err, got.Body)
	}
	missing, err := c.GetAccountWithResponse(ctx, "nobody", nil)
	if err != nil || missing.ApplicationproblemJSON404 == nil || missing.ApplicationproblemJSON404.Status != 404 {
		return fmt.Errorf("get of nobody: %v %s", err, missing.Body)
	}
	health, err := c.GetHealthWithResponse(ctx, nil)
	if err != nil || health.JSON200 == nil || health.JSON200.Status != "OK" {
		return fmt.Errorf("health: %v %s", err, health.Body)
	}
	fmt.Println("oapi-codegen: created, read, refused, healthy")
	return nil
}
