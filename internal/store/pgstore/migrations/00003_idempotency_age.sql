-- +goose Up
CREATE INDEX idempotency_age ON idempotency (written_at);
