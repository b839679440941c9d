-- Which shard holds which utterance and variant, and where in it. Applied on top of ingest/schema.sql.

CREATE TABLE IF NOT EXISTS shard (
    shard       VARCHAR PRIMARY KEY,                   -- below DATA/shards: <corpus>/<corpus>-<language>-<attack>-<variant>-000000.tar
    corpus      VARCHAR NOT NULL,
    language    VARCHAR NOT NULL,                      -- `und` where the corpus publishes none
    attack      VARCHAR NOT NULL,                      -- `bonafide` for genuine clips, `unlabelled` for unknown labels
    variant     VARCHAR NOT NULL,
    audio_codec VARCHAR NOT NULL CHECK (audio_codec IN ('flac', 'pcm')),
    members     BIGINT  NOT NULL CHECK (members > 0),  -- utterances, not tar entries
    size_bytes  BIGINT  NOT NULL,
    sha256      VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL                       -- sha256 over everything the bytes depend on
);

CREATE TABLE IF NOT EXISTS shard_member (              -- once per utt_id and variant; no key: its index takes more time and memory than the rows
    utt_id   VARCHAR NOT NULL,
    variant  VARCHAR NOT NULL,
    shard    VARCHAR NOT NULL,
    member   VARCHAR NOT NULL,                         -- name in the tar: <utt_id>.flac or <utt_id>.wav
    "offset" BIGINT  NOT NULL CHECK ("offset" >= 512), -- first byte of the member's data in the tar
    size     BIGINT  NOT NULL CHECK (size > 0),        -- bytes
    samples  BIGINT  NOT NULL CHECK (samples > 0),     -- at 16 kHz
    source   UBIGINT                                   -- md5_number_upper() of the audio_hash of the file it was made of; NULL: never measured
);
ALTER TABLE shard_member ADD COLUMN IF NOT EXISTS source UBIGINT;  -- older catalogs lack it

CREATE TABLE IF NOT EXISTS storage (
    root VARCHAR NOT NULL                              -- one row: the path or URL that holds shards/ and features/; none: DATA
);

CREATE TABLE IF NOT EXISTS variant (                   -- how the clips of each variant were made
    corpus            VARCHAR NOT NULL,
    variant           VARCHAR NOT NULL,                -- its word, as in shard_member
    steps             JSON    NOT NULL,                -- in order: each step with all its parameters
    compression_label TINYINT CHECK (compression_label BETWEEN 0 AND 9),  -- 0 none, then aac, opus, mp3 at 16, 32, 64 kbit/s; NULL: has none
    speed_label       TINYINT CHECK (speed_label BETWEEN 0 AND 15),       -- round(10 * speed) - 5; NULL: has none
    seed              BIGINT,                          -- of noise and rooms, together with the utt_id; NULL: nothing is drawn
    versions          JSON    NOT NULL,                -- library -> version
    recordings        JSON    NOT NULL,                -- sha256 of the folder of own noises or rooms, where one was drawn from
    PRIMARY KEY (corpus, variant)
);

CREATE TABLE IF NOT EXISTS variant_plan (              -- which variants are wanted: a variant holds what all plans ask of it
    corpus VARCHAR NOT NULL,
    plan   VARCHAR NOT NULL,
    "text" VARCHAR NOT NULL,                           -- the TOML file
    seed   BIGINT  NOT NULL,                           -- of the draws
    PRIMARY KEY (corpus, plan)
);

CREATE TABLE IF NOT EXISTS taken_out (                 -- what was removed by its name: the same command, run again, finds it done
    what   VARCHAR NOT NULL CHECK (what IN ('plan', 'feature')),
    corpus VARCHAR NOT NULL,                           -- empty for a feature, which leaves all of them
    name   VARCHAR NOT NULL,
    PRIMARY KEY (what, corpus, name)
);
