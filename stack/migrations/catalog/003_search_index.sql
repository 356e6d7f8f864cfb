-- no transaction
-- Full-text search over name and description. Built beside running traffic. Without fastupdate, since a
-- pending list that nobody vacuums would make the planner avoid the index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS products_name_idx
    ON products USING gin (to_tsvector('english', name || ' ' || description))
    WITH (fastupdate = off);
