-- Shelves for the products of the catalog's seed. Three articles are sold out and not delivered again.
INSERT INTO stock (product_id, available, target)
SELECT id, shelf, shelf
FROM generate_series(1, 5000) AS id
CROSS JOIN LATERAL (SELECT CASE WHEN id IN (997, 1994, 2991) THEN 0
                                ELSE 400 + (id * 7919 % 600)::integer END AS shelf) AS s
ON CONFLICT (product_id) DO NOTHING;
