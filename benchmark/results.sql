-- The results catalog: rebuilt by `python -m benchmark collect` from DATA/scores/*/. The only place where a
-- column of a result is defined. Rates are fractions in [0, 1]; NULL means "not known" and the note says why.

CREATE TABLE meta (
    schema_version BIGINT NOT NULL
);
COMMENT ON TABLE meta IS 'One row: which layout this file has';
COMMENT ON COLUMN meta.schema_version IS 'Raised by one with every change of a table; a newer one is refused, an older file is copied and made anew';

CREATE TABLE run (
    run_id             VARCHAR PRIMARY KEY,
    detector           VARCHAR NOT NULL,
    protocol           VARCHAR NOT NULL,
    scenario           VARCHAR NOT NULL,
    title              VARCHAR,
    seed               BIGINT,
    config             JSON,
    trained            BOOLEAN NOT NULL,
    "external"         BOOLEAN NOT NULL,
    simulated          BOOLEAN NOT NULL,
    partial            BOOLEAN NOT NULL,
    missing_trials     BIGINT NOT NULL,
    dev_eer            DOUBLE,
    dev_threshold      DOUBLE,
    best_epoch         BIGINT,
    epochs             BIGINT,
    parameters         BIGINT,
    train_s            DOUBLE,
    score_s            DOUBLE,
    peak_memory_bytes  BIGINT,
    energy_j           DOUBLE,
    energy_source      VARCHAR,
    train_draws        BIGINT,
    scored_trials      BIGINT,
    device             VARCHAR,
    finished_at        VARCHAR,
    train_key          VARCHAR,
    train_fingerprint  VARCHAR,
    trials_fingerprint VARCHAR,
    code_version       VARCHAR,
    catalog_version    BIGINT,
    git_commit         VARCHAR,
    git_dirty          BOOLEAN,
    lock               VARCHAR,
    shards             VARCHAR,
    model_sha256       VARCHAR,
    backbone           JSON,
    backbone_sha256    VARCHAR,
    versions           JSON,
    source             VARCHAR
);
COMMENT ON TABLE run IS 'One detector, protocol, seed, configuration and code version';
COMMENT ON COLUMN run.run_id IS 'Name of the folder below DATA/scores';
COMMENT ON COLUMN run.detector IS 'Canonical id; shortcut_* are probes that hear no synthesis, only duration, silence, level, ...';
COMMENT ON COLUMN run.protocol IS 'Which utterances train, tune and test; see python -m protocols show';
COMMENT ON COLUMN run.scenario IS 'First part of the protocol: inner, cross_method, cross_dataset, cross_language, official, ...';
COMMENT ON COLUMN run.title IS 'The protocol in words';
COMMENT ON COLUMN run.seed IS 'Number that all randomness of the run comes from; NULL for external scores';
COMMENT ON COLUMN run.config IS 'Every setting that was used: detector, input, training';
COMMENT ON COLUMN run.trained IS 'Trained here on the train role; false: given weights were scored as they are';
COMMENT ON COLUMN run."external" IS 'Scores that others published, rescored here';
COMMENT ON COLUMN run.simulated IS 'Trained or scored on corpora made by python -m ingest simulate';
COMMENT ON COLUMN run.partial IS 'Some trials of the protocol were missing';
COMMENT ON COLUMN run.missing_trials IS 'Trials left out because their audio is missing or corrupt';
COMMENT ON COLUMN run.dev_eer IS 'Official EER on dev';
COMMENT ON COLUMN run.dev_threshold IS 'Scores above it are called bona fide in accuracy, precision, recall, f1: the dev EER threshold';
COMMENT ON COLUMN run.best_epoch IS 'Epoch whose weights were scored, counted from 0';
COMMENT ON COLUMN run.epochs IS 'Epochs trained';
COMMENT ON COLUMN run.parameters IS 'Number of weights of the detector';
COMMENT ON COLUMN run.train_s IS 'Seconds of training; shared by runs with the same train_key';
COMMENT ON COLUMN run.score_s IS 'Seconds of scoring what no other run of the training had scored yet';
COMMENT ON COLUMN run.peak_memory_bytes IS 'Largest resident memory of the process';
COMMENT ON COLUMN run.energy_j IS 'Joules; training counts in the first run that shares it';
COMMENT ON COLUMN run.energy_source IS 'rapl, nvml: counters of the machine; estimate: processor seconds times 10 W';
COMMENT ON COLUMN run.train_draws IS 'Utterances that one epoch of training reads';
COMMENT ON COLUMN run.scored_trials IS 'Trials scored in score_s: those that no other run of the training had scored yet';
COMMENT ON COLUMN run.device IS 'Processor or GPU';
COMMENT ON COLUMN run.finished_at IS 'UTC time, ISO 8601; asked for again after a later run of the same settings: of then';
COMMENT ON COLUMN run.train_key IS 'Runs with the same key share one training';
COMMENT ON COLUMN run.train_fingerprint IS 'sha256 of the train and dev trials, of their audio and how their copies were made';
COMMENT ON COLUMN run.trials_fingerprint IS 'sha256 of all trials, of their audio and how their copies were made';
COMMENT ON COLUMN run.code_version IS 'Hash of the sources that decide the scores';
COMMENT ON COLUMN run.catalog_version IS 'Schema version of the catalog the trials came from';
COMMENT ON COLUMN run.git_commit IS 'Commit of the checkout';
COMMENT ON COLUMN run.git_dirty IS 'The checkout differed from its commit';
COMMENT ON COLUMN run.lock IS 'sha256 of requirements.lock';
COMMENT ON COLUMN run.shards IS 'sha256 over the hashes of all audio shards of the corpora used';
COMMENT ON COLUMN run.model_sha256 IS 'sha256 of the trained weights; equal weights, equal hash';
COMMENT ON COLUMN run.backbone IS 'Configuration of the self-supervised backbone that counts in training: size, dropouts, layer drop, masking';
COMMENT ON COLUMN run.backbone_sha256 IS 'sha256 of the local pretrained weights that training started from';
COMMENT ON COLUMN run.versions IS 'Versions of the libraries';
COMMENT ON COLUMN run.source IS 'Where external scores come from';

CREATE TABLE score_file (
    run_id    VARCHAR PRIMARY KEY REFERENCES run (run_id),
    path      VARCHAR NOT NULL,
    trials    BIGINT NOT NULL,
    signature VARCHAR NOT NULL
);
COMMENT ON TABLE score_file IS 'Where each run''s scores lie; every result can be rebuilt from them';
COMMENT ON COLUMN score_file.run_id IS 'The run';
COMMENT ON COLUMN score_file.path IS 'Relative to DATA';
COMMENT ON COLUMN score_file.trials IS 'Rows of the file: dev and test';
COMMENT ON COLUMN score_file.signature IS 'Size and time of the run''s files and hash of the measuring code: unchanged ones are not measured again';

CREATE TABLE result (
    run_id     VARCHAR NOT NULL REFERENCES run (run_id),
    role       VARCHAR NOT NULL CHECK (role IN ('dev', 'test')),
    subset     VARCHAR NOT NULL,
    kind       VARCHAR NOT NULL CHECK (kind IN ('subset', 'average', 'pooled')),
    metric     VARCHAR NOT NULL,
    value      DOUBLE,
    ci_low     DOUBLE,
    ci_high    DOUBLE,
    ci_method  VARCHAR,
    n_bonafide BIGINT NOT NULL,
    n_spoof    BIGINT NOT NULL,
    note       VARCHAR,
    PRIMARY KEY (run_id, role, subset, metric),
    CHECK (value IS NOT NULL OR note IS NOT NULL)
);
COMMENT ON TABLE result IS 'One metric of one run on one subset';
COMMENT ON COLUMN result.run_id IS 'The run';
COMMENT ON COLUMN result.role IS 'dev: what the run was selected on; test: scored once';
COMMENT ON COLUMN result.subset IS 'Named part of test, or the name of an average or a pool of several';
COMMENT ON COLUMN result.kind IS 'subset: one named part; average: unweighted mean over parts; pooled: one metric over the trials of several parts, each utterance once';
COMMENT ON COLUMN result.metric IS 'eer (official), eer_tie_safe, tie_mass (share of trials at the EER threshold), auc, min_dcf, act_dcf, cllr, min_tdcf_2019, min_tdcf_2021, accuracy, precision, recall, f1 (bona fide is positive, dev threshold)';
COMMENT ON COLUMN result.value IS 'A fraction, except cllr (bits); NULL where it is not defined';
COMMENT ON COLUMN result.ci_low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN result.ci_high IS 'Upper end of the 95 % interval';
COMMENT ON COLUMN result.ci_method IS 'What was resampled and how often, or the formula; exact_no_error: no trial was an error, the other end is the exact bound for so many';
COMMENT ON COLUMN result.n_bonafide IS 'Bona fide trials; of an average or a pool each once, however many of its parts share it';
COMMENT ON COLUMN result.n_spoof IS 'Spoof trials, counted alike';
COMMENT ON COLUMN result.note IS 'Warnings about the scores, or why there is no value';

CREATE TABLE breakdown (
    run_id     VARCHAR NOT NULL,
    subset     VARCHAR NOT NULL,
    factor     VARCHAR NOT NULL,
    level      VARCHAR NOT NULL,
    factor_2   VARCHAR,
    level_2    VARCHAR,
    metric     VARCHAR NOT NULL,
    value      DOUBLE,
    ci_low     DOUBLE,
    ci_high    DOUBLE,
    ci_method  VARCHAR,
    n_bonafide BIGINT NOT NULL,
    n_spoof    BIGINT NOT NULL,
    note       VARCHAR
);
COMMENT ON TABLE breakdown IS 'Cells of a test subset: by attack, vocoder family, codec, ..., or by two of them';
COMMENT ON COLUMN breakdown.run_id IS 'The run';
COMMENT ON COLUMN breakdown.subset IS 'Named part of test';
COMMENT ON COLUMN breakdown.factor IS 'attack, vocoder: all bona fide against these spoofs; any other splits both classes';
COMMENT ON COLUMN breakdown.level IS 'Value of the factor';
COMMENT ON COLUMN breakdown.factor_2 IS 'Second factor (the columns of a table), or NULL';
COMMENT ON COLUMN breakdown.level_2 IS 'Value of the second factor';
COMMENT ON COLUMN breakdown.metric IS 'As in result';
COMMENT ON COLUMN breakdown.value IS 'As in result';
COMMENT ON COLUMN breakdown.ci_low IS 'Lower end of the 95 % interval';
COMMENT ON COLUMN breakdown.ci_high IS 'Upper end of the 95 % interval';
COMMENT ON COLUMN breakdown.ci_method IS 'normal: from the trial counts alone; exact_no_error: as in result';
COMMENT ON COLUMN breakdown.n_bonafide IS 'Bona fide trials';
COMMENT ON COLUMN breakdown.n_spoof IS 'Spoof trials';
COMMENT ON COLUMN breakdown.note IS 'Why there is no value';

CREATE TABLE diagnostic (
    run_id  VARCHAR NOT NULL REFERENCES run (run_id),
    subset  VARCHAR NOT NULL,
    domain  VARCHAR,
    name    VARCHAR NOT NULL,
    meaning VARCHAR NOT NULL,
    value   DOUBLE,
    trials  BIGINT NOT NULL
);
COMMENT ON TABLE diagnostic IS 'What a detector tells of its inside while it scores (gate weights, ...), as means over test trials; each trial''s own figure stands beside its score';
COMMENT ON COLUMN diagnostic.run_id IS 'The run';
COMMENT ON COLUMN diagnostic.subset IS 'Named part of test, or a pool of several';
COMMENT ON COLUMN diagnostic.domain IS 'speech or singing; NULL: all trials of the subset';
COMMENT ON COLUMN diagnostic.name IS 'Column of the score file';
COMMENT ON COLUMN diagnostic.meaning IS 'What the detector calls it';
COMMENT ON COLUMN diagnostic.value IS 'Mean over the trials, in the detector''s own unit';
COMMENT ON COLUMN diagnostic.trials IS 'Trials';

CREATE TABLE curve (
    run_id VARCHAR NOT NULL,
    epoch  BIGINT NOT NULL,
    name   VARCHAR NOT NULL,
    value  DOUBLE
);
COMMENT ON TABLE curve IS 'What training reported after each epoch';
COMMENT ON COLUMN curve.run_id IS 'The run';
COMMENT ON COLUMN curve.epoch IS 'Epoch, counted from 0';
COMMENT ON COLUMN curve.name IS 'loss, dev EER, learning rate, ...';
COMMENT ON COLUMN curve.value IS 'Value at the end of the epoch';

CREATE TABLE failure (
    run_id   VARCHAR PRIMARY KEY,
    detector VARCHAR,
    protocol VARCHAR,
    seed     BIGINT,
    reason   VARCHAR NOT NULL
);
COMMENT ON TABLE failure IS 'Runs that did not end';
COMMENT ON COLUMN failure.run_id IS 'Name of the folder below DATA/scores';
COMMENT ON COLUMN failure.detector IS 'Detector';
COMMENT ON COLUMN failure.protocol IS 'Protocol';
COMMENT ON COLUMN failure.seed IS 'Seed';
COMMENT ON COLUMN failure.reason IS 'What went wrong, in one line';

CREATE TABLE throughput (
    detector          VARCHAR NOT NULL,
    form              VARCHAR NOT NULL,
    device            VARCHAR NOT NULL,
    threads           BIGINT  NOT NULL,
    samples           BIGINT  NOT NULL,
    batch_size        BIGINT  NOT NULL,
    parameters        BIGINT  NOT NULL,
    macs              BIGINT,
    train_per_s       DOUBLE,
    score_per_s       DOUBLE,
    peak_memory_bytes BIGINT,
    code_version      VARCHAR NOT NULL,
    note              VARCHAR,
    PRIMARY KEY (detector, form, device)
);
COMMENT ON TABLE throughput IS 'What each detector costs, measured by python -m benchmark throughput on made clips';
COMMENT ON COLUMN throughput.detector IS 'Canonical id';
COMMENT ON COLUMN throughput.form IS 'fast (as a run computes it), plain (eager float32 as published), channels_last, bfloat16, compiled';
COMMENT ON COLUMN throughput.device IS 'Processor or GPU it ran on';
COMMENT ON COLUMN throughput.threads IS 'CPU threads';
COMMENT ON COLUMN throughput.samples IS 'Length of a clip at 16 kHz';
COMMENT ON COLUMN throughput.batch_size IS 'Clips in a batch';
COMMENT ON COLUMN throughput.parameters IS 'Parameters of the network';
COMMENT ON COLUMN throughput.macs IS 'Multiply-accumulates of scoring one clip; without feature extraction and LSTMs';
COMMENT ON COLUMN throughput.train_per_s IS 'Utterances a second in training: loss, gradients, Adam; NULL where there is no gradient';
COMMENT ON COLUMN throughput.score_per_s IS 'Utterances a second in scoring';
COMMENT ON COLUMN throughput.peak_memory_bytes IS 'Largest memory of the process, or on a GPU of its tensors';
COMMENT ON COLUMN throughput.code_version IS 'Hash of the code that was measured';
COMMENT ON COLUMN throughput.note IS 'Why figures are missing';

CREATE TABLE tested (
    run_id  VARCHAR NOT NULL REFERENCES run (run_id),
    role    VARCHAR NOT NULL,
    subset  VARCHAR NOT NULL,
    corpora VARCHAR,
    trials  BIGINT NOT NULL,
    audio_s DOUBLE
);
COMMENT ON TABLE tested IS 'What the scored trials of each run were, dev and test';
COMMENT ON COLUMN tested.run_id IS 'The run';
COMMENT ON COLUMN tested.role IS 'dev or test; dev comes from where train comes from';
COMMENT ON COLUMN tested.subset IS 'Named test subset, a pool of several, or dev';
COMMENT ON COLUMN tested.corpora IS 'Corpus and language of its trials, several joined by +; NULL where the scores do not name them';
COMMENT ON COLUMN tested.trials IS 'Scored trials';
COMMENT ON COLUMN tested.audio_s IS 'Seconds of their audio; NULL where not measured';

CREATE TABLE published (
    source   VARCHAR NOT NULL,
    "table"  VARCHAR,
    detector VARCHAR NOT NULL,
    setting  VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    subset   VARCHAR,
    metric   VARCHAR NOT NULL,
    value    DOUBLE NOT NULL
);
COMMENT ON TABLE published IS 'Figures quoted from papers and public result files; never an input of a measured number';
COMMENT ON COLUMN published.source IS 'Paper or repository';
COMMENT ON COLUMN published."table" IS 'Table of the source';
COMMENT ON COLUMN published.detector IS 'Canonical id; _s marks the comparison paper''s own variants';
COMMENT ON COLUMN published.setting IS 'default, or what the paper calls the training or the ablation level';
COMMENT ON COLUMN published.protocol IS 'Protocol the figure belongs to';
COMMENT ON COLUMN published.subset IS 'Named test subset; average is the printed mean';
COMMENT ON COLUMN published.metric IS 'As in result where it is the same quantity, else as printed; ..._at_eer: at the EER threshold of the test trials themselves, spoof_...: spoof is positive; eer_mean_by_trials: EERs of subsets, weighted by their trials';
COMMENT ON COLUMN published.value IS 'Rates as fractions, other quantities as printed';

CREATE TABLE published_run (
    detector VARCHAR NOT NULL,
    run      VARCHAR NOT NULL,
    label    VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    subset   VARCHAR NOT NULL,
    metric   VARCHAR NOT NULL,
    value    DOUBLE NOT NULL
);
COMMENT ON TABLE published_run IS 'Single training runs behind the tables of Zhang et al. (Robust AI-Synthesized Speech Detection), from the authors'' public history';
COMMENT ON COLUMN published_run.detector IS 'Canonical id';
COMMENT ON COLUMN published_run.run IS 'The authors'' run number';
COMMENT ON COLUMN published_run.label IS 'The authors'' name of the detector';
COMMENT ON COLUMN published_run.protocol IS 'Protocol';
COMMENT ON COLUMN published_run.subset IS 'Named test subset';
COMMENT ON COLUMN published_run.metric IS 'eer or auc';
COMMENT ON COLUMN published_run.value IS 'Fraction';

CREATE TABLE grid (
    grid   VARCHAR PRIMARY KEY,
    title  VARCHAR NOT NULL,
    source VARCHAR NOT NULL,
    note   VARCHAR NOT NULL
);
COMMENT ON TABLE grid IS 'Grids of settings that were run: ablations and other tables over one detector';
COMMENT ON COLUMN grid.grid IS 'Name of its file, as in python -m benchmark run --grid';
COMMENT ON COLUMN grid.title IS 'What varies';
COMMENT ON COLUMN grid.source IS 'Paper and table';
COMMENT ON COLUMN grid.note IS 'What to know beside it';

CREATE TABLE grid_run (
    grid     VARCHAR NOT NULL,
    level    VARCHAR NOT NULL,
    position BIGINT NOT NULL,
    run_id   VARCHAR NOT NULL
);
COMMENT ON TABLE grid_run IS 'Which run is which level of a grid; a run can be a level of several grids';
COMMENT ON COLUMN grid_run.grid IS 'The grid';
COMMENT ON COLUMN grid_run.level IS 'One choice of settings';
COMMENT ON COLUMN grid_run.position IS 'Order of the levels in the grid';
COMMENT ON COLUMN grid_run.run_id IS 'The run, perhaps not finished';

CREATE TABLE grid_column (
    grid     VARCHAR NOT NULL,
    "column" VARCHAR NOT NULL,
    protocol VARCHAR NOT NULL,
    subset   VARCHAR NOT NULL
);
COMMENT ON TABLE grid_column IS 'The figures that a grid compares its levels by';
COMMENT ON COLUMN grid_column.grid IS 'The grid';
COMMENT ON COLUMN grid_column."column" IS 'Name of the figure; the subset of its published counterpart';
COMMENT ON COLUMN grid_column.protocol IS 'Protocol that it is read from; empty: the one of the level';
COMMENT ON COLUMN grid_column.subset IS 'Named test subset';

-- Of runs that differ in code version only, the last one counts.
CREATE VIEW current_run AS
SELECT *,
       left(md5(coalesce(config::VARCHAR, '')), 6) AS config_id,
       detector
       || CASE WHEN trained OR "external" THEN '' ELSE ' (given weights)' END
       || CASE WHEN "external" THEN ' (external)' ELSE '' END AS entry
FROM   run
QUALIFY row_number() OVER (PARTITION BY detector, protocol, seed, config, trained, "external", source
                           ORDER BY finished_at DESC, run_id) = 1;
COMMENT ON VIEW current_run IS 'Runs without those that later code repeated';
COMMENT ON COLUMN current_run.config_id IS 'Short name of the configuration';
COMMENT ON COLUMN current_run.entry IS 'Detector as the leaderboard names it';

-- A detector can have run with several configurations, as ablations do; its figure is never a median over them.
CREATE VIEW standing AS
SELECT * EXCLUDE (changed, runs, latest)
FROM   (SELECT *, len(json_keys(coalesce(config -> '$.config', '{}'))) AS changed,
               count(*) OVER same AS runs, max(finished_at) OVER same AS latest
        FROM   current_run
        WINDOW same AS (PARTITION BY entry, protocol, config_id))
QUALIFY dense_rank() OVER (PARTITION BY entry, protocol ORDER BY changed, runs DESC, latest DESC, config_id) = 1;
COMMENT ON VIEW standing IS 'Current runs of the configuration that stands for each detector on each protocol: the fewest constructor settings changed, of these the most runs, of these the latest';

CREATE VIEW leaderboard AS
SELECT detector, entry, protocol, scenario, seed, subset, kind, metric, value, ci_low, ci_high, ci_method,
       n_bonafide, n_spoof, note, partial, simulated, trained, "external", config_id, run_id
FROM   result
JOIN   current_run USING (run_id)
WHERE  role = 'test';
COMMENT ON VIEW leaderboard IS 'Every test result of every current run';

-- The one figure that stands for a run: the printed average where the protocol has one, else its whole test set.
CREATE VIEW headline AS
-- A subset that no run of the protocol has a value for, such as an average that lacks a corpus, heads none of them.
SELECT * EXCLUDE (measured, trials)
FROM   (SELECT *, count(value) OVER same > 0 AS measured,
               CASE WHEN kind = 'subset' THEN max(n_bonafide + n_spoof) OVER same ELSE 0 END AS trials
        FROM   leaderboard
        WINDOW same AS (PARTITION BY protocol, metric, subset))
QUALIFY row_number() OVER (
    PARTITION BY run_id, metric
    ORDER BY measured DESC,
             CASE WHEN protocol = 'official/ctrsvdd' AND subset = 'test_wo_a14' THEN 0  -- the challenge's own choice
                  WHEN scenario = 'loao' AND ends_with(protocol, '_' || subset) THEN 0  -- the attack that was left out
                  WHEN subset = 'eval_ref_real' THEN 0                 -- references as in training, not degraded ones
                  WHEN subset IN ('t02', 'vocals_t02') THEN 0          -- SingFake's unseen singers, its folder `test`
                  WHEN starts_with(protocol, 'cross_method/asvspoof2021_df_') AND subset IN ('whole', 'eval')
                  THEN 0                                               -- printed is the whole, no mean over classes
                  WHEN subset = 'average' THEN 1
                  WHEN subset IN ('eval', 'test', 'pooled', 'ctrsvdd_test_wo_a14') THEN 2
                  WHEN kind = 'average' THEN 3
                  WHEN kind = 'pooled' THEN 4
                  ELSE 5 END,
             trials DESC, length(subset), subset) = 1;
COMMENT ON VIEW headline IS 'One subset per run: what the protocol is about, else its average, else its pool or its largest subset';

CREATE VIEW seeds AS
SELECT entry, detector, protocol, scenario, subset, kind, metric, config_id,
       count(value) AS runs, avg(value) AS mean, stddev_samp(value) AS sd, median(value) AS median,
       min(value) AS low, max(value) AS high,
       any_value(n_bonafide) AS n_bonafide, any_value(n_spoof) AS n_spoof,
       bool_or(partial) AS partial, bool_or(simulated) AS simulated
FROM   leaderboard
GROUP  BY ALL;
COMMENT ON VIEW seeds IS 'Mean, sample deviation, median and range over the seeds of one configuration';

CREATE VIEW by_attack AS
SELECT r.entry, r.detector, r.protocol, r.seed, b.subset, b.level AS attack, b.value AS eer, b.ci_low, b.ci_high,
       b.n_bonafide, b.n_spoof, b.run_id
FROM   breakdown b
JOIN   current_run r USING (run_id)
WHERE  b.factor = 'attack' AND b.factor_2 IS NULL AND b.metric = 'eer';
COMMENT ON VIEW by_attack IS 'EER of each attack against all bona fide of its subset';

CREATE VIEW compared AS
SELECT s.entry, s.detector, s.config_id, s.protocol, s.subset, s.metric, s.runs, s.mean AS measured_mean, s.median AS measured_median,
       p.value AS published, s.mean - p.value AS difference, p.source, p."table", p.setting, s.partial, s.simulated
FROM   seeds s
JOIN   published p USING (detector, protocol, subset, metric);
COMMENT ON VIEW compared IS 'Published figure beside the mean over our seeds; setting: what the paper varied, default where nothing';

CREATE VIEW grid_figure AS
SELECT g.grid, g.level, g.position, c."column", l.metric, count(l.value) AS runs, avg(l.value) AS mean,
       stddev_samp(l.value) AS sd, median(l.value) AS median, min(l.value) AS low, max(l.value) AS high,
       any_value(p.value) AS published, bool_or(l.partial) AS partial, bool_or(l.simulated) AS simulated
FROM   grid_run g
JOIN   grid_column c USING (grid)
JOIN   leaderboard l ON l.run_id = g.run_id AND l.subset = c.subset AND c.protocol IN ('', l.protocol)
LEFT   JOIN published p ON p.protocol = g.grid AND p.setting = g.level AND p.subset = c."column" AND p.metric = l.metric
GROUP  BY ALL;
COMMENT ON VIEW grid_figure IS 'Each level of each grid: mean, median and range over its seeds, beside the published figure';

CREATE VIEW grid_diagnostic AS
SELECT g.grid, g.level, g.position, c."column", d.name, any_value(d.meaning) AS meaning, count(d.value) AS runs,
       avg(d.value) AS mean, median(d.value) AS median, min(d.value) AS low, max(d.value) AS high,
       any_value(p.value) AS published, bool_or(r.partial) AS partial, bool_or(r.simulated) AS simulated
FROM   grid_run g
JOIN   grid_column c USING (grid)
JOIN   current_run r ON r.run_id = g.run_id AND c.protocol IN ('', r.protocol)
JOIN   diagnostic d ON d.run_id = g.run_id AND d.subset = c.subset AND d.domain IS NULL
LEFT   JOIN published p ON p.protocol = g.grid AND p.setting = g.level AND p.subset = c."column" AND p.metric = d.name
GROUP  BY ALL;
COMMENT ON VIEW grid_diagnostic IS 'Each level of each grid: diagnostics of its detector over its seeds, beside the published figure';

-- Two detectors have runs under two labels of the authors': a table shows those whose means are nearest to it.
CREATE VIEW published_spread AS
WITH labelled AS (
    SELECT detector, label, protocol, subset, metric, count(*) AS runs, avg(value) AS mean, median(value) AS median,
           min(value) AS low, max(value) AS high
    FROM   published_run
    GROUP  BY ALL
), printed AS (
    SELECT l.detector, l.protocol, l.label
    FROM   labelled l
    JOIN   published p USING (detector, protocol, subset, metric)
    WHERE  p.setting = 'default'
    GROUP  BY l.detector, l.protocol, l.label
    QUALIFY row_number() OVER (PARTITION BY l.detector, l.protocol ORDER BY avg(abs(l.mean - p.value)), l.label) = 1
)
FROM labelled SEMI JOIN printed USING (detector, protocol, label);
COMMENT ON VIEW published_spread IS 'Spread of the authors'' own runs behind a published mean; of runs under several labels those whose means are nearest to it';

CREATE VIEW flagged AS
SELECT entry, detector, config_id, protocol, seed, subset, note, run_id
FROM   leaderboard
WHERE  metric = 'eer' AND note IS NOT NULL;
COMMENT ON VIEW flagged IS 'Runs whose scores look collapsed, inverted, tied, saturated, or could not be measured';

-- A detector of a fixed length hears that much of every trial, any other one hears it whole.
CREATE VIEW cost AS
WITH heard AS (
    SELECT run_id, sum(audio_s) / sum(trials) FILTER (audio_s IS NOT NULL) AS clip_s
    FROM   tested ANTI JOIN (FROM result WHERE kind = 'pooled') USING (run_id, subset)
    GROUP  BY run_id
)
SELECT r.entry, r.detector, r.protocol, r.seed, r.parameters, r.train_s, r.score_s, f.trials,
       r.peak_memory_bytes, r.epochs, r.best_epoch, r.device, r.run_id,
       r.score_s / nullif(r.scored_trials * CASE
           WHEN coalesce((r.config ->> '$.input.windows')::BOOLEAN, false) THEN h.clip_s
           ELSE coalesce((r.config ->> '$.input.samples')::DOUBLE / 16000, h.clip_s) END, 0) AS real_time_factor
FROM   current_run r
JOIN   score_file f USING (run_id)
LEFT   JOIN heard h USING (run_id);
COMMENT ON VIEW cost IS 'What each run cost; real_time_factor: seconds of scoring per second of audio that the detector heard';

-- Of the test subsets and pools from one corpus the largest stands for it: the others are parts of it.
CREATE VIEW transfer AS
WITH trained_on AS (
    SELECT run_id, corpora AS train FROM tested WHERE role = 'dev'
), tried AS (
    SELECT t.run_id, t.subset, t.corpora AS test
    FROM   tested t
    JOIN   result r ON r.run_id = t.run_id AND r.subset = t.subset AND r.role = 'test' AND r.metric = 'eer'
    WHERE  t.role = 'test' AND t.corpora IS NOT NULL AND r.value IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY t.run_id, t.corpora ORDER BY t.trials DESC, t.subset) = 1
)
SELECT l.entry, l.detector, l.protocol, l.seed, d.train, t.test, l.subset, l.value AS eer, l.n_bonafide, l.n_spoof,
       l.partial, l.simulated, l.run_id
FROM   tried t
JOIN   trained_on d USING (run_id)
JOIN   leaderboard l ON l.run_id = t.run_id AND l.subset = t.subset AND l.metric = 'eer'
WHERE  d.train IS NOT NULL;
COMMENT ON VIEW transfer IS 'EER by the corpora a run was trained on and each corpus it was tested on';

CREATE MACRO scores(data) AS TABLE
SELECT parse_path(filename)[-2] AS run_id, * EXCLUDE (filename)
FROM   read_parquet(data || '/scores/*/scores.parquet', filename = true, union_by_name = true, hive_partitioning = false);
