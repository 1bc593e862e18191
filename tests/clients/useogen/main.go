// Command useogen uses the service at a URL by the client that ogen makes of its document.
package main

import (
	"context"
	"fmt"
	"os"

	"accountservice/tests/clients/ogenapi"
)

func main() {
	if err := use(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func use(ctx context.Context, url string) error {
	c, err := ogenapi.NewClient(url)
	if err != nil {
		return err
	}
	answer, err := c.CreateAccount(ctx, &ogenapi.AccountDraft{Name: "Grace"},
		ogenapi.CreateAccountParams{IdempotencyKey: ogenapi.NewOptString("ogen")})
	created, is := answer.(*ogenapi.AccountHeaders)
	if err != nil || !is || created.Response.ID == "" {
		return fmt.Errorf("create: %v %#v", err, answer)
	}
	read, err := c.GetAccount(ctx, ogenapi.GetAccountParams{ID: created.Response.ID})
	if got, is := read.(*ogenapi.GetAccountOKHeaders); err != nil || !is || got.Response.Name != "Grace" ||
		got.ETag != created.ETag {
		return fmt.Errorf("get: %v %#v", err, read)
	}
	missing, err := c.GetAccount(ctx, ogenapi.GetAccountParams{ID: "nobody"})
	if problem, is := missing.(*ogenapi.GetAccountNotFound); err != nil || !is || problem.Response.Status != 404 {
		return fmt.Errorf("get of nobody: %v %#v", err, missing)
	}
	health, err := c.GetHealth(ctx, ogenapi.GetHealthParams{})
	if h, is := health.(*ogenapi.HealthDocumentHeaders); err != nil || !is || h.Response.Status != "OK" {
		return fmt.Errorf("health: %v %#v", err, health)
	}
	fmt.Println("ogen: created, read, refused, healthy")
	return nil
}
