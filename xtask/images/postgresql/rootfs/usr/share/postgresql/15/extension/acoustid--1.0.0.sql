-- A stand-in for AcoustID's own C extension, which no package holds. Two of its functions, in SQL: enough to index
-- fingerprints and to compare two of them, not enough to score them as the real one does.
\echo Use "CREATE EXTENSION acoustid" to load this file. \quit

CREATE FUNCTION acoustid_extract_query(fingerprint integer[]) RETURNS integer[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT (item >> 4) & 268435455), '{}')
    FROM unnest(fingerprint[1:120]) AS item
$$;
COMMENT ON FUNCTION acoustid_extract_query(integer[]) IS 'stand-in: the distinct upper 28 bits of the first 120 items';

CREATE FUNCTION acoustid_compare2(a integer[], b integer[], max_offset integer DEFAULT 0) RETURNS real
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(avg((x = y)::integer), 0)::real
    FROM unnest(a, b) AS pair(x, y)
$$;
COMMENT ON FUNCTION acoustid_compare2(integer[], integer[], integer) IS 'stand-in: the share of equal items at equal positions';
