-- +goose Up
CREATE TABLE idempotency (
    key BYTEA PRIMARY KEY, -- SHA-256 of the caller's key
    fingerprint BYTEA NOT NULL,
    written_at TIMESTAMPTZ NOT NULL,
    answer BYTEA NOT NULL
);
