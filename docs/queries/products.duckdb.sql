-- Products in the carts, with those bought later, by currency. DuckDB.
SELECT coalesce(line ->> 'id', 'no id') AS product_id,
       coalesce(max(nullif(line ->> 'name', '')), max(line ->> 'id'), 'no name') AS product,
       coalesce(upper(nullif(currency, '')), 'no currency') AS currency,
       count(DISTINCT token) AS carts,
       coalesce(sum((line ->> 'totalPrice')::numeric(38, 6)), 0)::numeric(38, 2) AS value
FROM abandoned_carts, unnest(items::json[]) AS lines(line)
GROUP BY 1, 3
ORDER BY 4 DESC, 1, 3;
