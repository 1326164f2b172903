-- Whole days from the last change of an abandoned cart to its purchase. Carts without a date of the
-- last change are not counted.
SELECT floor(extract(epoch FROM (departed.cart ->> 'completionDate')::timestamptz
                                - abandoned.modification_date) / 86400)::integer AS days,
       count(*) AS carts
FROM abandoned_carts AS abandoned JOIN departed_carts AS departed
     ON departed.token = abandoned.token AND departed.noticed_at >= abandoned.modification_date
WHERE (departed.cart ->> 'completionDate') IS NOT NULL
GROUP BY 1
ORDER BY 1;
