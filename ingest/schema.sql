-- The catalog. The only place where a column is defined; Utterance in types.py is its twin.

CREATE TABLE IF NOT EXISTS meta (
    schema_version INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS tool (                      -- programs and libraries that touched the audio
    name    VARCHAR PRIMARY KEY,
    version VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS corpus (
    corpus      VARCHAR PRIMARY KEY,
    title       VARCHAR NOT NULL,
    domain      VARCHAR NOT NULL CHECK (domain IN ('speech', 'singing')),
    licence     VARCHAR NOT NULL,
    citation    VARCHAR NOT NULL,
    root        VARCHAR NOT NULL,                      -- absolute folder on this machine; read-only
    partial     BOOLEAN NOT NULL,                      -- counts differ from the published ones, or audio is missing
    simulated   BOOLEAN NOT NULL,                      -- made by `python -m ingest simulate`
    fingerprint VARCHAR NOT NULL                       -- sha256 over the sorted utterance rows
);

CREATE TABLE IF NOT EXISTS place (                     -- folders outside the root: WaveFake's originals
    corpus VARCHAR NOT NULL,
    place  VARCHAR NOT NULL,
    root   VARCHAR NOT NULL,                           -- absolute folder on this machine; read-only
    PRIMARY KEY (corpus, place)
);

CREATE TABLE IF NOT EXISTS utterance (
    utt_id        VARCHAR PRIMARY KEY                  -- <corpus>/<folder or protocol file>/<stem>, or <corpus>/<stem>
                  CHECK (utt_id NOT LIKE '%.%'),       -- a dot would end the WebDataset key
    corpus        VARCHAR NOT NULL,
    "partition"   VARCHAR,                             -- the official word; NULL where the corpus has none
    place         VARCHAR,                             -- folder of table place; NULL: the corpus root
    path          VARCHAR NOT NULL,                    -- relative to the corpus root or to its place
    label         VARCHAR NOT NULL CHECK (label IN ('bonafide', 'spoof', 'unknown')),  -- unknown: kept, in no protocol
    attack        VARCHAR,                             -- canonical word; `unknown` if unpublished; NULL when bona fide
    attack_raw    VARCHAR,                             -- the published word
    source_id     VARCHAR NOT NULL,                    -- the recording behind a genuine clip and all its copies
    sentence      VARCHAR,                             -- id of the text that is spoken, where it is published
    speaker       VARCHAR,
    language      VARCHAR,                             -- ISO 639
    domain        VARCHAR NOT NULL CHECK (domain IN ('speech', 'singing')),
    codec         VARCHAR,
    codec_class   VARCHAR,                             -- bit-rate class: none, low, high, or the published quality number
    transmission  VARCHAR,
    vocoder       VARCHAR CHECK (vocoder IN
                  ('autoregressive', 'non_autoregressive', 'traditional', 'concatenation', 'unknown')),
    source_corpus VARCHAR,
    gender        VARCHAR CHECK (gender IN ('F', 'M')),
    song          VARCHAR,
    condition     VARCHAR CHECK (condition IN ('mixture', 'vocals')),  -- SingFake's input condition
    trim          VARCHAR CHECK (trim IN ('trim', 'notrim')),
    audio_present BOOLEAN NOT NULL,
    audio_status  VARCHAR NOT NULL CHECK (audio_status IN ('ok', 'missing', 'corrupt')),
    duration_s    DOUBLE CHECK (duration_s >= 0),
    rate_hz       INTEGER CHECK (rate_hz > 0),
    channels      INTEGER CHECK (channels > 0),
    CHECK (label <> 'bonafide' OR attack IS NULL),
    CHECK (label <> 'spoof' OR attack IS NOT NULL),
    CHECK (audio_present = (audio_status <> 'missing')),
    CHECK (audio_status <> 'ok' OR (duration_s IS NOT NULL AND rate_hz IS NOT NULL AND channels IS NOT NULL))
);

CREATE TABLE IF NOT EXISTS measurement (               -- cheap properties of the decoded audio, for audit and shortcut probes
    utt_id              VARCHAR PRIMARY KEY,
    corpus              VARCHAR NOT NULL,
    size_bytes          BIGINT NOT NULL,
    mtime_ns            BIGINT NOT NULL,
    container           VARCHAR,                       -- FLAC, WAV, ...
    subtype             VARCHAR,                       -- PCM_16, ...
    bitrate_bps         DOUBLE,                        -- file bytes over duration
    frames              BIGINT,                        -- samples per channel that decode
    audio_hash          VARCHAR,                       -- md5 of the decoded samples, first channel layout kept
    leading_silence_s   DOUBLE,
    trailing_silence_s  DOUBLE,
    loudness_db         DOUBLE,                        -- RMS re full scale
    peak                DOUBLE,                        -- largest absolute sample, full scale = 1
    dc                  DOUBLE,                        -- mean sample
    noise_floor_db      DOUBLE,                        -- 5th percentile of frame RMS
    bandwidth_hz        DOUBLE,                        -- highest frequency within 60 dB of the spectral peak
    edge_db             DOUBLE,                        -- largest fall of the long-term spectrum within half an octave
    tilt_db_per_octave  DOUBLE,                        -- slope of the long-term spectrum
    zero_crossing_hz    DOUBLE,                        -- sign changes per second
    clipped_share       DOUBLE                         -- share of samples at full scale
);

CREATE TABLE IF NOT EXISTS finding (                   -- whatever ingest noticed: nothing is skipped silently
    corpus VARCHAR NOT NULL,
    kind   VARCHAR NOT NULL,                           -- missing, corrupt, extra, duplicate_row, note, ...
    path   VARCHAR,
    detail VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS expected_count (
    corpus      VARCHAR NOT NULL,
    "partition" VARCHAR,
    group_column VARCHAR,
    group_value VARCHAR,
    label       VARCHAR NOT NULL,
    expected    BIGINT NOT NULL,
    found       BIGINT NOT NULL,
    grade       VARCHAR NOT NULL,
    source      VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS asv_score (                 -- the organisers' speaker verification scores, for min t-DCF
    corpus      VARCHAR NOT NULL,
    "partition" VARCHAR NOT NULL,
    attack      VARCHAR,                               -- NULL for target and nontarget
    key         VARCHAR NOT NULL CHECK (key IN ('target', 'nontarget', 'spoof')),
    score       DOUBLE NOT NULL,
    codec       VARCHAR                                -- of the trial; NULL where the corpus has one only
);

-- fold in [0, 1): 53 bits of md5(source_id); a genuine clip and all its copies share it, on every machine
CREATE OR REPLACE MACRO fold_of(source_id) AS (md5_number_upper(source_id) >> 11)::DOUBLE / 9007199254740992.0;

CREATE OR REPLACE VIEW trial_pool AS                   -- what protocol predicates select from
SELECT *, fold_of(source_id) AS fold
FROM   utterance
WHERE  label <> 'unknown';

CREATE OR REPLACE VIEW audio_file AS                   -- where each utterance's audio lies on this machine
SELECT u.utt_id, u.corpus, coalesce(p.root, c.root) || '/' || u.path AS path
FROM   utterance u
JOIN   corpus c USING (corpus)
LEFT   JOIN place p ON p.corpus = u.corpus AND p.place = u.place
WHERE  u.audio_present;
