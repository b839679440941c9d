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

CREATE TABLE IF NOT EXISTS shard_member (
    utt_id   VARCHAR NOT NULL,
    variant  VARCHAR NOT NULL,
    shard    VARCHAR NOT NULL,
    member   VARCHAR NOT NULL,                         -- name in the tar: <utt_id>.flac or <utt_id>.wav
    "offset" BIGINT  NOT NULL CHECK ("offset" >= 512), -- first byte of the member's data in the tar
    size     BIGINT  NOT NULL CHECK (size > 0),        -- bytes
    samples  BIGINT  NOT NULL CHECK (samples > 0),     -- at 16 kHz
    PRIMARY KEY (utt_id, variant)
);
