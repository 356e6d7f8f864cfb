-- no transaction
-- Full-text search over name and description. Built beside running traffic.
CREATE INDEX CONCURRENTLY IF NOT EXISTS products_name_idx
    ON products USING gin (to_tsvector('english', name || ' ' || description));
