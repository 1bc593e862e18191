package handlers

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"accountservice/internal/auth"
	"accountservice/internal/store"
)

// Paths of the operations on accounts.
const (
	oneAccount  = "/accounts/{id}"
	allAccounts = "/accounts"
)

func registerReads(e *edge, a accounts) {
	get := success[store.Account](e.api, 200, "ETag")
	get["304"] = &huma.Response{Description: "Not Modified", Headers: headersOf("ETag")}
	register(e, operation{
		id: "get-account", method: http.MethodGet, path: oneAccount, summary: "One account",
		scope: auth.Read, success: get, errors: []int{404, 412}, quick: a.quickGet,
	}, a.get)
	register(e, operation{
		id: "list-accounts", method: http.MethodGet, path: allAccounts, scope: auth.Read, list: true,
		summary: "Accounts in order of their ids, page by page",
		description: "A page may be short, or even empty, and still have a next one: follow it until there is none. " +
			"Accounts whose records are damaged are left out, and counted in a header.",
		success: success[accountPage](e.api, 200, "Link", "Accounts-Damaged"),
	}, a.list)
	register(e, operation{
		id: "batch-get-accounts", method: http.MethodPost, path: "/accounts:batchGet", scope: auth.Read, list: true,
		summary:     "Up to 1000 accounts by their ids",
		description: "Accounts that have more than 2 MiB together are refused as too-much: ask for fewer at a time.",
		body:        bodyOf(idsSchema, "application/json"),
	}, a.batchGet)
}

func registerWrites(e *edge, a accounts) {
	register(e, operation{
		id: "create-account", method: http.MethodPost, path: allAccounts, scope: auth.Write, key: true,
		summary:     "Create an account under an id of the service's choice",
		description: "Without an Idempotency-Key, a request that is repeated because its answer was lost makes a second one.",
		body:        bodyOf(draftSchema, "application/json"),
		success:     success[store.Account](e.api, 201, "ETag", "Location", "Idempotency-Replayed"),
	}, a.create)
	put := success[store.Account](e.api, 200, "ETag")
	put["201"] = success[store.Account](e.api, 201, "ETag", "Location")["201"]
	register(e, operation{
		id: "put-account", method: http.MethodPut, path: oneAccount, summary: "Create or replace an account",
		description: "With If-None-Match: * it only creates, with If-Match it only replaces what the client has seen. " +
			"What GET gave is taken. The content that is stored already leaves version, times and ETag as they are.",
		scope: auth.Write, body: bodyOf(putSchema, "application/json"), success: put, errors: []int{412, 428},
	}, a.put)
	register(e, operation{
		id: "patch-account", method: http.MethodPatch, path: oneAccount, summary: "Change parts of an account",
		description: "The body is a JSON Merge Patch (RFC 7396) of what PUT takes: what is absent stays, null removes. " +
			"It is taken as application/json too. A patch that changes nothing leaves version, times and ETag as they are.",
		scope: auth.Write, key: true, body: bodyOf(patchSchema, strings.Split(acceptPatch, ", ")...),
		success: success[store.Account](e.api, 200, "ETag", "Idempotency-Replayed"), errors: []int{404, 412, 428, 429},
	}, a.patch)
	register(e, operation{
		id: "delete-account", method: http.MethodDelete, path: oneAccount, summary: "Remove an account",
		scope: auth.Write, errors: []int{404, 412, 428},
	}, a.delete)
}
