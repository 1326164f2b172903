-- Carts that were bought after they had been abandoned, by recovery campaign and currency.
SELECT coalesce(cart ->> 'campaignId', 'no campaign') AS campaign,
       coalesce(upper(nullif(cart ->> 'currency', '')), 'no currency') AS currency,
       count(*) AS carts, coalesce(sum((cart ->> 'total')::numeric(38, 6)), 0)::numeric(38, 2) AS value
FROM departed_carts
WHERE (cart ->> 'completionDate') IS NOT NULL
GROUP BY 1, 2
ORDER BY 2, 4 DESC, 1;
