-- name: part
-- The rows of one part of one role; its condition is made of predicates that predicate.py has checked.
SELECT utt_id, label, corpus, attack, speaker, language, domain, "partition", audio_status
FROM   trial_pool
WHERE  {condition}

-- name: limited_part
-- The same, sub-sampled by md5 of utterance and seed: the same rows on every machine. Missing audio does not
-- change the draw: the limit is applied to the published list, and what has no audio falls out afterwards.
WITH pool AS (SELECT * FROM trial_pool WHERE {condition}),
size AS (                                              -- as windows over all rows they take the square of them
    SELECT count(*) FILTER (label = 'bonafide') AS all_bonafide, count(*) FILTER (label = 'spoof') AS all_spoof
    FROM   pool
),
chosen AS (SELECT *, count(*) OVER (PARTITION BY label, {by}) AS in_group FROM pool, size)
SELECT utt_id, label, corpus, attack, speaker, language, domain, "partition", audio_status
FROM   chosen
QUALIFY row_number() OVER (PARTITION BY label, {by} ORDER BY md5(concat(utt_id, ':', {seed})), utt_id)
        <= CASE label WHEN 'bonafide' THEN {cap_bonafide} ELSE {cap_spoof} END

-- name: same_speaker
-- One bona fide clip of the trial's speaker, corpus and partition, never the trial itself; NULL if there is none.
WITH pool AS (
    SELECT corpus, "partition", speaker, utt_id,
           row_number() OVER (PARTITION BY corpus, "partition", speaker ORDER BY utt_id) - 1 AS place
    FROM   trial_pool
    WHERE  label = 'bonafide' AND audio_status = 'ok' AND speaker IS NOT NULL
),
size AS (SELECT corpus, "partition", speaker, count(*) AS clips FROM pool GROUP BY ALL),
drawn AS (
    SELECT trial.row, trial.corpus, trial."partition", trial.speaker, own.place AS own,
           clips - (own.place IS NOT NULL)::INTEGER AS others,
           (md5_number_upper(concat(trial.utt_id, ':', $seed)) % greatest(others, 1)::UBIGINT)::BIGINT AS draw
    FROM   trial
           LEFT JOIN size ON trial.corpus = size.corpus AND trial.speaker = size.speaker
                             AND trial."partition" IS NOT DISTINCT FROM size."partition"
           LEFT JOIN pool AS own ON trial.utt_id = own.utt_id
),
picked AS (                                            -- plain equality below, or the join compares every pair
    SELECT *, CASE WHEN others > 0 THEN draw + (draw >= coalesce(own, draw + 1))::INTEGER END AS pick FROM drawn
)
SELECT pool.utt_id AS reference
FROM   picked LEFT JOIN pool
       ON picked.corpus = pool.corpus AND picked.speaker = pool.speaker AND pick = place
          AND picked."partition" IS NOT DISTINCT FROM pool."partition"
ORDER  BY row

-- name: other_speaker
-- One bona fide clip of another speaker of the same corpus and partition.
WITH pool AS (
    SELECT corpus, "partition", utt_id, speaker,
           row_number() OVER (PARTITION BY corpus, "partition" ORDER BY speaker, utt_id) - 1 AS place
    FROM   trial_pool
    WHERE  label = 'bonafide' AND audio_status = 'ok' AND speaker IS NOT NULL
),
size AS (SELECT corpus, "partition", count(*) AS clips FROM pool GROUP BY ALL),
block AS (SELECT corpus, "partition", speaker, min(place) AS start, count(*) AS own FROM pool GROUP BY ALL),
drawn AS (
    SELECT trial.row, trial.corpus, trial."partition", coalesce(start, 0) AS start, coalesce(own, 0) AS own,
           clips - coalesce(own, 0) AS others,
           (md5_number_upper(concat(trial.utt_id, ':', $seed)) % greatest(others, 1)::UBIGINT)::BIGINT AS draw
    FROM   trial
           LEFT JOIN size  ON trial.corpus = size.corpus
                              AND trial."partition" IS NOT DISTINCT FROM size."partition"
           LEFT JOIN block ON trial.corpus = block.corpus AND trial.speaker = block.speaker
                              AND trial."partition" IS NOT DISTINCT FROM block."partition"
),
picked AS (
    SELECT *, CASE WHEN others > 0 THEN draw + CASE WHEN draw >= start THEN own ELSE 0 END END AS pick FROM drawn
)
SELECT pool.utt_id AS reference
FROM   picked LEFT JOIN pool
       ON picked.corpus = pool.corpus AND pick = place
          AND picked."partition" IS NOT DISTINCT FROM pool."partition"
ORDER  BY row

-- name: enrolled
-- One of the clips that a list of the user enrols for the trial's speaker; NULL for a speaker without one. Enrolment is
-- in no protocol file: its clips are no utterances but files that ingest found beside them (kind extra).
WITH clip AS (
    SELECT corpus, utt_id, substr(utt_id, length(corpus) + 2) AS stem FROM utterance WHERE audio_status = 'ok'
    UNION ALL
    SELECT corpus, concat(corpus, '/', stem), stem
    FROM  (SELECT corpus, regexp_extract(path, '([^/]*?)(\.[^./]*)?$', 1) AS stem FROM finding WHERE kind = 'extra')
),
pool AS (
    SELECT corpus, enrolment.speaker, list_sort(list(DISTINCT utt_id)) AS clips
    FROM   enrolment JOIN clip USING (stem)
    GROUP  BY ALL
)
SELECT clips[(md5_number_upper(concat(trial.utt_id, ':', $seed)) % len(clips)::UBIGINT)::BIGINT + 1] AS reference
FROM   trial LEFT JOIN pool ON trial.corpus = pool.corpus AND trial.speaker = pool.speaker
ORDER  BY row

-- name: whole_corpora
-- Those whose published rows are all there, with or without their audio.
SELECT corpus
FROM   corpus
WHERE  NOT simulated AND (NOT partial OR corpus IN (SELECT corpus FROM expected_count))
       AND corpus NOT IN (SELECT corpus FROM expected_count WHERE expected <> found)

-- name: shared_with_test
SELECT count(DISTINCT utt_id), min(utt_id)
FROM   trial
WHERE  role = 'test' AND utt_id IN (SELECT utt_id FROM trial WHERE role IN ('train', 'dev'))

-- name: shared_with_dev
SELECT count(DISTINCT utt_id), min(utt_id)
FROM   trial
WHERE  role = 'dev' AND utt_id IN (SELECT utt_id FROM trial WHERE role = 'train')

-- name: twice
SELECT coalesce(sum(rows - 1), 0)::BIGINT, min(utt_id)
FROM  (SELECT utt_id, count(*) AS rows FROM trial GROUP BY role, subset, utt_id, variant HAVING rows > 1)
