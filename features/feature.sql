-- Features that were computed and stored, and where each utterance's array lies. On top of shards/shard.sql.

CREATE TABLE IF NOT EXISTS feature (
    feature VARCHAR PRIMARY KEY,                       -- <name>-<first 8 of key>: its folder below DATA/features
    name    VARCHAR NOT NULL,                          -- file name of the extractor
    params  VARCHAR NOT NULL,                          -- JSON, every parameter resolved
    key     VARCHAR NOT NULL,                          -- sha256 over name, params, source and weights
    dtype   VARCHAR NOT NULL CHECK (dtype IN ('float32', 'float16')),
    dim     INTEGER NOT NULL,
    rate_hz INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS feature_shard (
    shard       VARCHAR PRIMARY KEY,                   -- below DATA/features: <feature>/<corpus>/<stem of the audio shard>.tar
    feature     VARCHAR NOT NULL,
    corpus      VARCHAR NOT NULL,
    variant     VARCHAR NOT NULL,
    audio_shard VARCHAR NOT NULL,
    members     BIGINT  NOT NULL CHECK (members > 0),
    size_bytes  BIGINT  NOT NULL,
    sha256      VARCHAR NOT NULL,
    fingerprint VARCHAR NOT NULL
);

CREATE TABLE IF NOT EXISTS feature_member (            -- once per feature, utt_id and variant; no key, as in shard_member
    feature  VARCHAR NOT NULL,
    utt_id   VARCHAR NOT NULL,
    variant  VARCHAR NOT NULL,
    shard    VARCHAR NOT NULL,
    member   VARCHAR NOT NULL,                         -- <utt_id>.npy
    "offset" BIGINT  NOT NULL CHECK ("offset" >= 512),
    size     BIGINT  NOT NULL CHECK (size > 0),
    frames   BIGINT  NOT NULL CHECK (frames > 0)
);
