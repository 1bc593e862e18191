-- +goose Up
INSERT INTO service_state (id, oldest_schema, seeded, seeding_done) VALUES (1, 5, 0, false);
