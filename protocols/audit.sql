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
       -- the text: where it is only what `source` says already, that overlap is told there
       CASE WHEN sentence IS NULL OR sentence = source_id THEN NULL
            WHEN regexp_full_match(sentence, '\d+-\d+-\d{4}') THEN sentence
            ELSE concat_ws(':', utterance.corpus, utterance.language, sentence) END AS sentence,
       CASE WHEN utterance.speaker IS NULL THEN NULL
            WHEN regexp_full_match(utterance.speaker, 'LA_\d{4}') THEN utterance.speaker
            -- numbers that each system of DECRO counts anew
            WHEN utterance.corpus = 'decro' AND regexp_full_match(utterance.speaker, '\d+')
            THEN concat_ws(':', utterance.corpus, utterance.language, utterance.attack, utterance.speaker)
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

-- name: labelled
-- Every row of a corpus with what is known of it without its label: where it stands, what was measured, the form
-- of its name (digits as one 9).
SELECT row_number() OVER (ORDER BY utterance.rowid) AS place, utterance.utt_id, label,
       concat_ws(':', language, source_id) AS recording,
       utterance."partition" AS part,
       regexp_replace(regexp_replace(utterance.utt_id, '^.*/', ''), '\d+', '9', 'g') AS form,
       codec, language, condition, duration_s, rate_hz, channels,
       measurement.* EXCLUDE (utt_id, corpus, size_bytes, mtime_ns, audio_hash, frames)
FROM   utterance
       JOIN measurement USING (utt_id)
WHERE  utterance.corpus = ? AND label <> 'unknown' AND audio_status = 'ok'
ORDER  BY place

-- name: other_columns
-- Rows whose label and other published columns contradict each other, by corpus.
SELECT corpus, count(*), min(utt_id)
FROM   utterance
WHERE  label = 'bonafide' AND (attack_raw IS NOT NULL OR vocoder IS NOT NULL)
GROUP  BY corpus
ORDER  BY corpus

-- name: folders
-- Folders that hold both labels in a corpus most of whose folders hold one: there the folder is the label.
WITH folder AS (
    SELECT corpus, regexp_replace(path, '[^/]*$', '') AS folder, count(*) FILTER (label = 'bonafide') AS bonafide,
           count(*) FILTER (label = 'spoof') AS spoof,
           CASE WHEN bonafide <= spoof THEN min(utt_id) FILTER (label = 'bonafide')
                ELSE min(utt_id) FILTER (label = 'spoof') END AS first
    FROM   utterance
    GROUP  BY ALL
)
SELECT corpus, folder, bonafide, spoof, first
FROM   folder
WHERE  bonafide > 0 AND spoof > 0
       AND corpus IN (SELECT corpus FROM folder GROUP BY corpus
                      HAVING count(*) > 3 * count(*) FILTER (bonafide > 0 AND spoof > 0))
ORDER  BY ALL

-- name: other_labels
-- The same samples, or the same recording of ASVspoof 2019, bona fide in one place and spoof in another.
WITH named AS (
    SELECT utt_id, utterance.corpus, label, audio_hash,
           CASE WHEN utterance.corpus IN ('asvspoof2019_la', 'decro')
                     AND regexp_full_match(source_id, 'LA_[TDE]_\d{7}') THEN source_id END AS recording
    FROM   utterance LEFT JOIN measurement USING (utt_id)
    WHERE  label <> 'unknown'
), pairs AS (
    SELECT first, second FROM (
        SELECT min(utt_id) FILTER (label = 'bonafide') AS first, min(utt_id) FILTER (label = 'spoof') AS second
        FROM named WHERE audio_hash IS NOT NULL GROUP BY audio_hash
        UNION ALL
        SELECT min(utt_id) FILTER (label = 'bonafide'), min(utt_id) FILTER (label = 'spoof')
        FROM named WHERE recording IS NOT NULL GROUP BY recording)
    WHERE first IS NOT NULL AND second IS NOT NULL
)
SELECT a.corpus, b.corpus, count(DISTINCT first), min(first), arg_min(second, first)
FROM   pairs JOIN utterance a ON a.utt_id = first JOIN utterance b ON b.utt_id = second
GROUP  BY ALL
ORDER  BY ALL
