-- +goose Up
CREATE TABLE accounts (
    id BYTEA PRIMARY KEY, -- its bytes sort as the service sorts ids, whatever the collation of the database
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    labels TEXT NOT NULL, -- an object in JSON
    version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    revision TEXT NOT NULL -- each write compares it with the one that it read, and sets it
);
