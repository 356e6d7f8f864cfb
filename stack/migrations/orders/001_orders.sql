-- What the shop has on its shelves. Deliveries fill `available` up to `target`.
CREATE TABLE stock (
    product_id bigint PRIMARY KEY,
    available  integer NOT NULL CHECK (available >= 0),
    target     integer NOT NULL CHECK (target >= 0)
) WITH (fillfactor = 70);

CREATE TABLE orders (
    order_id      uuid PRIMARY KEY,
    user_id       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('accepted', 'fulfilled', 'dead_lettered')),
    total_cents   bigint NOT NULL CHECK (total_cents >= 0),
    delivery_note text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80);
CREATE INDEX orders_waiting_idx ON orders (created_at) WHERE state = 'accepted';
CREATE INDEX orders_created_idx ON orders (created_at);

CREATE TABLE order_lines (
    order_id         uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    product_id       bigint NOT NULL,
    quantity         integer NOT NULL CHECK (quantity > 0),
    unit_price_cents bigint NOT NULL CHECK (unit_price_cents >= 0),
    PRIMARY KEY (order_id, product_id)
);

CREATE TABLE order_history (
    order_id uuid NOT NULL REFERENCES orders ON DELETE CASCADE,
    state    text NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    detail   text NOT NULL DEFAULT '',
    PRIMARY KEY (order_id, state)
);

-- One row per Idempotency-Key of a user; the fingerprint tells a repeated request from another one.
CREATE TABLE idempotency_keys (
    user_id     text NOT NULL,
    key         text NOT NULL,
    fingerprint bytea NOT NULL,
    order_id    uuid NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);
CREATE INDEX idempotency_keys_created_idx ON idempotency_keys (created_at);

-- Messages that belong to committed orders and that the broker has not confirmed yet.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id    uuid NOT NULL,
    body        text NOT NULL,
    traceparent text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now()
);
