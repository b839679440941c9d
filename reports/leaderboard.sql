-- The tables of leaderboard.md, each a query that can be pasted into `python -m reports sql`.
-- {columns} is filled with one column per scenario or subset, {protocol} with the protocol's name.

-- name: overview
WITH runs AS (
    SELECT *, median(value) OVER (PARTITION BY entry, protocol) AS middle
    FROM   headline
    WHERE  metric = 'eer' AND NOT starts_with(detector, 'shortcut_') AND run_id IN (SELECT run_id FROM standing)
), entries AS (
    SELECT entry, detector, scenario, protocol, median(value) AS eer,
           first(ci_low ORDER BY abs(value - middle), seed, run_id) AS ci_low,
           first(ci_high ORDER BY abs(value - middle), seed, run_id) AS ci_high
    FROM   runs
    GROUP  BY ALL
), ranked AS (
    SELECT entry, detector, count(eer) AS protocols, avg(eer) AS mean_eer,
           CASE WHEN count(ci_low) = count(eer) THEN avg(ci_low) END AS ci_low,
           CASE WHEN count(ci_low) = count(eer) THEN avg(ci_high) END AS ci_high,
           rank() OVER (ORDER BY count(eer) DESC, avg(eer)) AS rank
    FROM   entries
    WHERE  scenario <> 'robustness'  -- copies of a protocol's test, asked for run by run
    GROUP  BY entry, detector
), costs AS (
    SELECT entry, count(*) AS runs, count(DISTINCT seed) AS seeds, max(parameters) AS parameters
    FROM   standing
    GROUP  BY entry
), speeds AS (
    SELECT detector, max(macs) / 1e9 AS gmac, min(16000 / (score_per_s * samples)) AS real_time_factor
    FROM   throughput
    GROUP  BY detector
)
SELECT r.rank,
       (SELECT min(o.rank) FROM ranked o
        WHERE o.rank < r.rank AND o.protocols = r.protocols AND o.mean_eer BETWEEN r.ci_low AND r.ci_high) AS "≈ rank",
       r.entry AS detector, {columns},
       coalesce(format('{{:.2f}}', 100 * any_value(r.mean_eer)), '') AS mean,
       coalesce(format('{{:.2f}} to {{:.2f}}', 100 * any_value(r.ci_low), 100 * any_value(r.ci_high)), '') AS "95 % interval",
       any_value(r.protocols) AS protocols, any_value(seeds) AS seeds, any_value(runs) AS runs,
       coalesce(format('{{:,}}', any_value(parameters)), '') AS parameters{speeds}
FROM   ranked r JOIN entries e USING (entry) JOIN costs USING (entry) LEFT JOIN speeds s ON s.detector = r.detector
GROUP  BY r.rank, r.entry, r.protocols, r.ci_low, r.ci_high
ORDER  BY r.rank, r.entry;

-- name: costs
SELECT entry AS detector, protocol, count(*) AS runs, format('{{:,}}', max(parameters)) AS parameters,
       format('{{:.1f}}', median(train_s)) AS "train s", format('{{:.2f}}', 1000 * median(score_s / trials)) AS "ms per trial",
       coalesce(format('{{:.4f}}', median(real_time_factor)), '') AS "real-time factor",
       format('{{:.2f}}', max(peak_memory_bytes) / 1e9) AS "peak GB", min(device) AS device
FROM   cost
WHERE  NOT starts_with(detector, 'shortcut_')
GROUP  BY entry, protocol
ORDER  BY entry, protocol;

-- name: complexity
WITH printed AS (
    PIVOT (SELECT detector, metric, value FROM published WHERE protocol = 'complexity/batch32')
    ON metric IN ('params_m', 'gflops', 'train_utt_s', 'test_utt_s') USING first(value)
)
SELECT detector, form, device, threads, samples, batch_size AS batch,
       format('{{:.2f}}', parameters / 1e6) AS "M parameters", format('{{:.2f}}', params_m) AS "published M",
       coalesce(format('{{:.2f}}', macs / 1e9), '') AS "GMAC", format('{{:.2f}}', gflops) AS "published GFLOPs",
       coalesce(format('{{:.1f}}', train_per_s), '') AS "trained / s", format('{{:.1f}}', train_utt_s) AS "published trained / s",
       coalesce(format('{{:.1f}}', score_per_s), '') AS "scored / s", format('{{:.1f}}', test_utt_s) AS "published scored / s"
FROM   throughput JOIN printed USING (detector)
ORDER  BY detector, form, device;

-- name: floor
WITH probes AS (
    SELECT protocol, scenario, detector, median(value) AS eer
    FROM   headline
    WHERE  metric = 'eer_tie_safe' AND starts_with(detector, 'shortcut_')  -- a property often ties: see tie-safe
    GROUP  BY ALL
)
SELECT protocol, arg_min(detector, eer) AS "best probe",
       format('{{:.2f}}', 100 * min(eer)) AS "EER %", count(*) AS probes
FROM   probes
GROUP  BY protocol
ORDER  BY protocol;

-- name: across
-- Averages that a paper prints over several protocols, beside those of the detectors that have all of them.
WITH parts AS (
    SELECT a.source, a."table", a.detector, a.metric, a.protocol AS protocols, a.value AS published, q.protocol, q.subset,
           count(*) OVER (PARTITION BY a.source, a."table", a.detector, a.metric) AS due
    FROM   published a
    JOIN   published q USING (source, "table", detector, metric)
    WHERE  ends_with(a.protocol, '/*') AND NOT ends_with(q.protocol, '/*') AND NOT ends_with(q.protocol, '_published')
), ours AS (
    SELECT entry, detector, protocol, subset, metric, avg(value) AS mean, bool_or(simulated) AS simulated,
           bool_or(partial) AS partial
    FROM   leaderboard
    WHERE  run_id IN (SELECT run_id FROM standing) AND value IS NOT NULL
    GROUP  BY ALL
)
SELECT entry AS detector, protocols, count(*) AS averaged, metric, format('{{:.2f}}', 100 * avg(mean)) AS "our mean %",
       format('{{:.2f}}', 100 * published) AS "published %",
       CASE WHEN bool_or(simulated) THEN '' ELSE format('{{:+.2f}}', 100 * (avg(mean) - published)) END AS difference,
       concat_ws(', ', source, "table") AS source,
       concat_ws(', ', CASE WHEN bool_or(simulated) THEN 'simulated' END, CASE WHEN bool_or(partial) THEN 'partial' END) AS data
FROM   parts JOIN ours USING (detector, protocol, subset, metric)
GROUP  BY entry, protocols, metric, published, source, "table"
HAVING count(*) = any_value(due)
ORDER  BY protocols, metric, entry;

-- name: twins
WITH medians AS (
    SELECT entry, protocol, subset, median(value) AS eer, bool_or(simulated) AS simulated, bool_or(partial) AS partial
    FROM   headline
    WHERE  metric = 'eer' AND NOT starts_with(detector, 'shortcut_') AND run_id IN (SELECT run_id FROM standing)
    GROUP  BY ALL
), twins AS (
    SELECT *, regexp_replace(regexp_replace(protocol, '_strict$', ''), '_clean$', '_002') AS published_form
    FROM   medians
    WHERE  regexp_matches(protocol, '_(strict|clean)$')
)
SELECT t.published_form AS protocol, t.protocol AS twin, t.entry AS detector, format('{{:.2f}}', 100 * m.eer) AS "EER %",
       format('{{:.2f}}', 100 * t.eer) AS "twin's EER %", format('{{:+.2f}}', 100 * (t.eer - m.eer)) AS difference,
       concat_ws(', ', CASE WHEN t.simulated OR m.simulated THEN 'simulated' END,
                 CASE WHEN t.partial OR m.partial THEN 'partial' END) AS data
FROM   twins t JOIN medians m ON m.protocol = t.published_form AND m.entry = t.entry
WHERE  t.eer IS NOT NULL AND m.eer IS NOT NULL
ORDER  BY t.protocol, t.entry;

-- name: shortcuts
-- Test subsets in which one property alone tells the labels apart, either way round, by more than chance gives
-- (four standard errors of a random AUC).
WITH probes AS (
    SELECT subset, substr(detector, 10) AS property, median(greatest(value, 1 - value)) AS auc,
           max(n_bonafide) AS n_bonafide, max(n_spoof) AS n_spoof
    FROM   leaderboard
    WHERE  protocol = '{protocol}' AND metric = 'auc' AND starts_with(detector, 'shortcut_')
           AND detector <> 'shortcut_tree' AND kind <> 'average'
    GROUP  BY ALL
)
SELECT subset, string_agg(format('{{}} {{:.3f}}', property, auc), ', ' ORDER BY auc DESC, property) AS "property and its AUC",
       max(n_bonafide) AS "bona fide", max(n_spoof) AS spoof
FROM   probes
WHERE  auc > 0.75 AND auc - 0.5 > 4 * sqrt((n_bonafide + n_spoof + 1) / (12.0 * n_bonafide * n_spoof))
GROUP  BY subset
ORDER  BY subset;

-- name: protocol
WITH runs AS (
    SELECT *, median(value) OVER (PARTITION BY entry, config_id) AS middle
    FROM   headline
    WHERE  protocol = '{protocol}' AND metric = 'eer'
), entries AS (
    SELECT entry, detector, config_id, subset, count(*) AS seeds, median(value) AS eer, avg(value) AS mean,
           stddev_samp(value) AS sd, min(value) AS low, max(value) AS high,
           first(ci_low ORDER BY abs(value - middle), seed, run_id) AS ci_low,
           first(ci_high ORDER BY abs(value - middle), seed, run_id) AS ci_high,
           max(n_bonafide) AS n_bonafide, max(n_spoof) AS n_spoof,
           bool_or(partial) AS partial, bool_or(simulated) AS simulated
    FROM   runs
    GROUP  BY ALL
), areas AS (
    SELECT entry, config_id, median(value) AS auc
    FROM   headline
    WHERE  protocol = '{protocol}' AND metric = 'auc'
    GROUP  BY ALL
), printed AS (
    SELECT detector, subset, first(value ORDER BY "table" = 'abstract', value) AS published  -- its words round it
    FROM   published
    WHERE  protocol = '{protocol}' AND metric = 'eer'
    GROUP  BY ALL
    HAVING count(DISTINCT setting) = 1  -- of several configurations none is ours
), ranked AS (
    SELECT *, CASE WHEN eer IS NOT NULL AND NOT starts_with(detector, 'shortcut_')  -- a probe has no rank
                   THEN rank() OVER (PARTITION BY starts_with(detector, 'shortcut_') ORDER BY eer NULLS LAST) END AS rank,
           count(*) OVER (PARTITION BY entry) AS configs
    FROM   entries
)
SELECT r.rank,
       (SELECT min(o.rank) FROM ranked o
        WHERE o.rank < r.rank AND o.eer BETWEEN r.ci_low AND r.ci_high) AS "≈ rank",
       r.entry || CASE WHEN r.configs > 1 THEN ' #' || r.config_id ELSE '' END AS detector,
       r.subset, r.seeds,
       coalesce(format('{{:.2f}}', 100 * r.eer), 'not run') AS "EER %",
       coalesce(format('{{:.2f}} to {{:.2f}}', 100 * r.ci_low, 100 * r.ci_high), '') AS "95 % interval",
       CASE WHEN r.seeds > 1 THEN format('{{:.2f}} ± {{:.2f}}', 100 * r.mean, 100 * r.sd) ELSE '' END AS "mean ± sd",
       CASE WHEN r.seeds > 1 THEN format('{{:.2f}} to {{:.2f}}', 100 * r.low, 100 * r.high) ELSE '' END AS range,
       coalesce(format('{{:.2f}}', 100 * a.auc), '') AS "AUC %",
       coalesce(format('{{:.2f}}', 100 * p.published), '') AS "published EER %",
       CASE WHEN r.simulated OR p.published IS NULL OR r.eer IS NULL THEN ''
            ELSE format('{{:+.2f}}', 100 * (r.mean - p.published)) END AS "mean - published",
       r.n_bonafide AS "bona fide", r.n_spoof AS spoof,
       concat_ws(', ', CASE WHEN r.simulated THEN 'simulated' END, CASE WHEN r.partial THEN 'partial' END) AS data
FROM   ranked r LEFT JOIN areas a USING (entry, config_id) LEFT JOIN printed p USING (detector, subset)
ORDER  BY r.rank NULLS LAST, r.eer NULLS FIRST, r.entry, r.config_id;

-- name: moved
-- At least three seeds, and mean and median more than one point apart. The furthest seed is the one that moves it.
WITH named AS (
    SELECT entry, count(DISTINCT config_id) AS configs FROM current_run WHERE protocol = '{protocol}' GROUP BY entry
)
SELECT s.entry || CASE WHEN any_value(configs) > 1 THEN ' #' || s.config_id ELSE '' END AS detector, s.subset, s.runs AS seeds, format('{{:.2f}}', 100 * s.mean) AS "mean EER %",
       format('{{:.2f}}', 100 * s.median) AS "median EER %", format('{{:.2f}}', 100 * s.low) AS lowest,
       format('{{:.2f}}', 100 * s.high) AS highest,
       first(l.seed ORDER BY abs(l.value - s.median) DESC, l.seed) AS "furthest seed",
       format('{{:.2f}}', 100 * (sum(l.value) - first(l.value ORDER BY abs(l.value - s.median) DESC, l.seed)) / (s.runs - 1))
           AS "mean without it %"
FROM   seeds s JOIN leaderboard l USING (entry, protocol, subset, kind, metric, config_id) JOIN named USING (entry)
WHERE  s.protocol = '{protocol}' AND s.metric = 'eer' AND s.runs > 2 AND abs(s.mean - s.median) > 0.01
       AND NOT starts_with(s.detector, 'shortcut_') AND l.value IS NOT NULL
GROUP  BY s.entry, s.config_id, s.subset, s.runs, s.mean, s.median, s.low, s.high
ORDER  BY abs(s.mean - s.median) DESC, s.entry, s.config_id, s.subset;

-- name: configurations
-- Settings in which the configurations of one detector differ; one that only another configuration has is not named.
WITH several AS (
    SELECT entry, config_id, any_value(config) AS config, count(*) OVER (PARTITION BY entry) AS configs
    FROM   current_run
    WHERE  {where} AND NOT starts_with(detector, 'shortcut_')
    GROUP  BY entry, config_id
    QUALIFY configs > 1
), setting AS (
    SELECT entry, config_id, configs, fullkey[3:] || ' = ' || atom AS said,
           count(*) OVER (PARTITION BY entry, fullkey, atom::VARCHAR) AS alike
    FROM   several, json_tree(config)
    WHERE  atom IS NOT NULL
)
SELECT s.entry || ' #' || s.config_id AS detector,
       coalesce(string_agg(said, ', ' ORDER BY said), 'nothing that the others do not set, too') AS "set differently"
FROM   several s LEFT JOIN setting t ON (t.entry = s.entry AND t.config_id = s.config_id AND alike < t.configs)
GROUP  BY s.entry, s.config_id
ORDER  BY s.entry, s.config_id;

-- name: versions
-- Runs of one protocol on trials that are not the same; those that ended last stand first.
SELECT left(trials_fingerprint, 12) AS trials, count(*) AS runs,
       list_aggregate(list_sort(list_distinct(list(
           CASE WHEN starts_with(detector, 'shortcut_') THEN 'shortcut probes' ELSE entry END))), 'string_agg', ', ') AS detectors
FROM   current_run
WHERE  protocol = '{protocol}' AND NOT "external" AND trials_fingerprint IS NOT NULL
GROUP  BY trials_fingerprint
QUALIFY count(*) OVER () > 1
ORDER  BY max(finished_at) DESC, trials;

-- name: subsets
WITH named AS (
    SELECT entry, count(DISTINCT config_id) AS configs
    FROM   seeds
    WHERE  protocol = '{protocol}' AND metric = 'eer'
    GROUP  BY entry
)
SELECT entry || CASE WHEN max(configs) > 1 THEN ' #' || config_id ELSE '' END AS detector, {columns}
FROM   seeds JOIN named USING (entry)
WHERE  protocol = '{protocol}' AND metric = 'eer' AND NOT starts_with(detector, 'shortcut_')
GROUP  BY entry, config_id
ORDER  BY entry, config_id;

-- name: metrics
WITH runs AS (
    SELECT *, median(value) OVER (PARTITION BY entry, config_id, subset, metric) AS middle
    FROM   headline
    WHERE  protocol = '{protocol}' AND value IS NOT NULL AND NOT starts_with(detector, 'shortcut_')
           AND metric NOT IN ('eer', 'eer_tie_safe', 'tie_mass', 'auc', 'accuracy', 'precision', 'recall', 'f1')
), named AS (
    SELECT entry, count(DISTINCT config_id) AS configs FROM runs GROUP BY entry
)
SELECT entry || CASE WHEN max(configs) > 1 THEN ' #' || config_id ELSE '' END AS detector, subset, metric,
       format('{{:.4f}}', median(value)) AS value,
       coalesce(format('{{:.4f}} to {{:.4f}}', first(ci_low ORDER BY abs(value - middle), seed, run_id),
                       first(ci_high ORDER BY abs(value - middle), seed, run_id)), '') AS "95 % interval"
FROM   runs JOIN named USING (entry)
GROUP  BY entry, config_id, subset, metric
ORDER  BY entry, config_id, subset, metric;

-- name: compared
-- Rates in percent; detection costs as they are.
WITH named AS (
    SELECT entry, count(DISTINCT config_id) AS configs FROM current_run WHERE protocol = '{protocol}' GROUP BY entry
), shown AS (
    SELECT *, CASE WHEN ends_with(metric, 'dcf') THEN 1 ELSE 100 END AS factor,
           CASE WHEN ends_with(metric, 'dcf') THEN '{{:.4f}}' ELSE '{{:.2f}} %' END AS form,
           CASE WHEN ends_with(metric, 'dcf') THEN '{{:+.4f}}' ELSE '{{:+.2f}}' END AS signed
    FROM   compared
    WHERE  protocol = '{protocol}'
)
SELECT entry || CASE WHEN configs > 1 THEN ' #' || config_id ELSE '' END AS detector, subset, metric, c.runs AS "our runs",
       format(form, factor * measured_mean) AS "our mean", format(form, factor * published) AS published,
       CASE WHEN simulated THEN '' ELSE format(signed, factor * difference) END AS difference,
       coalesce(format(form, factor * s.low) || ' to ' || format(form, factor * s.high), '') AS "authors' single runs",
       concat_ws(', ', c.source, "table", nullif(setting, 'default')) AS source
FROM   shown c JOIN named USING (entry) LEFT JOIN published_spread s USING (detector, protocol, subset, metric)
ORDER  BY ALL;

-- name: flagged
WITH named AS (
    SELECT entry, count(DISTINCT config_id) AS configs FROM current_run WHERE protocol = '{protocol}' GROUP BY entry
)
SELECT entry || CASE WHEN configs > 1 THEN ' #' || config_id ELSE '' END AS detector, seed, subset, note
FROM   flagged JOIN named USING (entry)
WHERE  protocol = '{protocol}' AND NOT starts_with(detector, 'shortcut_')
ORDER  BY ALL;

-- name: grid
SELECT level, max(runs) AS runs, {columns},
       concat_ws(', ', CASE WHEN bool_or(simulated) THEN 'simulated' END, CASE WHEN bool_or(partial) THEN 'partial' END) AS data
FROM   grid_figure
WHERE  grid = '{grid}' AND metric = 'eer'
GROUP  BY level, position
ORDER  BY position;

-- name: grid_diagnostics
SELECT level, meaning, max(runs) AS runs, {columns},
       concat_ws(', ', CASE WHEN bool_or(simulated) THEN 'simulated' END, CASE WHEN bool_or(partial) THEN 'partial' END) AS data
FROM   grid_diagnostic
WHERE  grid = '{grid}'
GROUP  BY level, position, name, meaning
ORDER  BY name, position;

-- name: failures
SELECT protocol, detector, seed, reason FROM failure ORDER BY ALL;

-- name: corpora
SELECT corpus, title, licence, CASE WHEN simulated THEN 'simulated' WHEN partial THEN 'partial' ELSE 'complete' END AS state,
       count(u.utt_id) FILTER (u.label = 'bonafide') AS "bona fide", count(u.utt_id) FILTER (u.label = 'spoof') AS spoof,
       count(u.utt_id) FILTER (NOT u.audio_present) AS "without audio"
FROM   catalog.corpus c JOIN catalog.utterance u USING (corpus)
GROUP  BY ALL
ORDER  BY corpus;
