-- Categories and products. Prices are integer cents; popularity is the number of views last quarter.
CREATE TABLE categories (
    id   integer PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    name text NOT NULL
);

CREATE TABLE products (
    id          integer PRIMARY KEY,
    category_id integer NOT NULL REFERENCES categories (id),
    name        text NOT NULL,
    description text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents > 0),
    popularity  integer NOT NULL DEFAULT 0,
    rating      real NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX products_category_idx ON products (category_id, popularity DESC, id);
CREATE INDEX products_popularity_idx ON products (popularity DESC, id);
CREATE INDEX products_name_idx ON products (lower(name));
