-- What became of the carts, by currency. A cart is still abandoned if departed_carts has no departure
-- of it since its last change. The others were bought or deleted, or ended in another way.
SELECT CASE WHEN departed.token IS NULL THEN 'still abandoned'
            WHEN departed.cart IS NULL THEN 'deleted'
            WHEN (departed.cart ->> 'completionDate') IS NOT NULL THEN 'bought'
            ELSE 'ended otherwise' END AS outcome,
       coalesce(upper(nullif(abandoned.currency, '')), 'no currency') AS currency,
       count(*) AS carts, coalesce(sum(abandoned.total), 0)::numeric(38, 2) AS value
FROM abandoned_carts AS abandoned LEFT JOIN departed_carts AS departed
     ON departed.token = abandoned.token
     AND departed.noticed_at >= coalesce(abandoned.modification_date, departed.noticed_at)
GROUP BY 1, 2
ORDER BY 2, 1;
