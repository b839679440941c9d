-- name: keyed
-- What each trial could share with a trial of another role. Words that only mean something within a corpus get
-- its name in front; ids of ASVspoof 2019 LA and of LJSpeech keep theirs in the corpora made from them.
SELECT trial.role, trial.subset, trial.utt_id, utterance.label,
       trial.utt_id AS utterance,
       measurement.audio_hash AS audio,
       CASE WHEN utterance.corpus IN ('asvspoof2019_la', 'decro')
                 AND regexp_full_match(source_id, 'LA_[TDE]_\d{7}') THEN source_id
            WHEN regexp_full_match(source_id, 'LJ\d{3}-\d{4}') THEN source_id
            ELSE concat_ws(':', utterance.corpus, utterance.language, source_id) END AS source,
       CASE WHEN utterance.speaker IS NULL THEN NULL
            WHEN regexp_full_match(utterance.speaker, 'LA_\d{4}') THEN utterance.speaker
            ELSE concat(utterance.corpus, ':', utterance.speaker) END AS speaker,
       CASE WHEN song IS NULL THEN NULL ELSE concat(utterance.corpus, ':', song) END AS song,
       CASE WHEN utterance.attack IS NULL OR utterance.attack = 'unknown' THEN NULL
            WHEN regexp_full_match(utterance.attack, 'A\d\d')
            THEN concat(regexp_replace(utterance.corpus, '^asvspoof20(19|21)_..$', 'asvspoof2019'), ':',
                        utterance.attack)
            ELSE utterance.attack END AS attack
FROM   trial
       JOIN utterance USING (utt_id)
       LEFT JOIN measurement USING (utt_id)

-- name: overlap
-- For one kind of key: what train and dev share with a later role, by subset of that role.
WITH earlier AS (SELECT DISTINCT role, {kind} AS word FROM keyed WHERE role <> 'test' AND {kind} IS NOT NULL)
SELECT earlier.role, later.role, later.subset, count(DISTINCT word), count(DISTINCT later.utt_id), min(word)
FROM   earlier JOIN keyed AS later ON later.{kind} = word
WHERE  (earlier.role, later.role) IN (('train', 'dev'), ('train', 'test'), ('dev', 'test'))
GROUP  BY ALL
ORDER  BY ALL

-- name: contradictions
SELECT count(*), min(audio)
FROM  (SELECT audio FROM keyed WHERE audio IS NOT NULL GROUP BY audio HAVING count(DISTINCT label) > 1)

-- name: properties
SELECT trial.subset, utterance.label, utterance.duration_s, utterance.rate_hz, utterance.channels,
       measurement.* EXCLUDE (utt_id, corpus, size_bytes, mtime_ns, audio_hash)
FROM   trial
       JOIN utterance USING (utt_id)
       JOIN measurement USING (utt_id)
WHERE  trial.role = 'test'
ORDER  BY trial.subset, trial.utt_id

-- name: shared_audio
-- The same decoded samples in more than one corpus, by pair of corpora.
WITH heard AS (SELECT DISTINCT corpus, audio_hash FROM measurement WHERE audio_hash IS NOT NULL)
SELECT first.corpus, second.corpus, count(*), min(audio_hash)
FROM   heard AS first JOIN heard AS second USING (audio_hash)
WHERE  first.corpus < second.corpus
GROUP  BY ALL
ORDER  BY ALL
