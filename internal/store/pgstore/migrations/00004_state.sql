-- +goose Up
CREATE TABLE service_state (
    id BIGINT PRIMARY KEY, -- 1: there is one row
    oldest_schema BIGINT NOT NULL, -- a binary that was made for this schema or a later one can use the database
    seeded BIGINT NOT NULL, -- accounts that Seed has stored
    seeding_done BOOLEAN NOT NULL
);
