-- Look-ups by exact name are gone from the code, so their index only costs writes.
DROP INDEX IF EXISTS products_name_idx;
