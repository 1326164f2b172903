-- Carts and their value, by week of their last change and by currency. Weeks begin on Monday, in UTC.
SELECT coalesce(date_trunc('week', modification_date AT TIME ZONE 'UTC')::date::text, 'no date') AS week,
       coalesce(upper(nullif(currency, '')), 'no currency') AS currency,
       count(*) AS carts, coalesce(sum(total), 0)::numeric(38, 2) AS value
FROM abandoned_carts
GROUP BY 1, 2
ORDER BY 1, 2;
