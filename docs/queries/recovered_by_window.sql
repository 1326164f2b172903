-- Abandoned and recovered carts as Retargeting counts them, by window. Days are in UTC. The last
-- window was still running when it was read.
SELECT (date_from AT TIME ZONE 'UTC')::date AS first_day, (date_to AT TIME ZONE 'UTC')::date AS last_day,
       abandoned, recovered, round(100.0 * recovered / nullif(abandoned, 0), 1) AS percent
FROM cart_stats
ORDER BY 1;
