-- The tables of the site that leaderboard.md does not have. {entry}, {protocol} and {run} are names, quotes doubled;
-- {one} is empty where the rows of all runs are read at once, for speed.

-- name: index
WITH runs AS (
    SELECT *, median(value) OVER (PARTITION BY entry, protocol, config_id) AS middle
    FROM   headline
    WHERE  metric = 'eer' AND NOT starts_with(detector, 'shortcut_')
), entries AS (
    SELECT entry, protocol, scenario, config_id, subset, count(*) AS seeds, median(value) AS eer,
           first(ci_low ORDER BY abs(value - middle), seed, run_id) AS ci_low,
           first(ci_high ORDER BY abs(value - middle), seed, run_id) AS ci_high,
           min(value) AS low, max(value) AS high, max(n_bonafide) AS n_bonafide, max(n_spoof) AS n_spoof,
           bool_or(partial) AS partial, bool_or(simulated) AS simulated
    FROM   runs
    GROUP  BY ALL
), costs AS (
    SELECT entry, protocol, max(parameters) AS parameters, median(1000 * score_s / nullif(trials, 0)) AS ms,
           median(real_time_factor) AS factor
    FROM   cost
    GROUP  BY ALL
), ranked AS (
    SELECT *, CASE WHEN eer IS NOT NULL THEN rank() OVER (PARTITION BY protocol ORDER BY eer NULLS LAST) END AS rank,
           count(*) OVER (PARTITION BY entry, protocol) AS configs
    FROM   entries
), alike AS (
    SELECT r.entry, r.protocol, r.config_id, min(o.rank) AS rank
    FROM   ranked r JOIN ranked o ON o.protocol = r.protocol AND o.rank < r.rank AND o.eer BETWEEN r.ci_low AND r.ci_high
    GROUP  BY ALL
)
SELECT r.rank, r.entry || CASE WHEN r.configs > 1 THEN ' #' || r.config_id ELSE '' END AS detector, r.protocol,
       coalesce(format('{{:.2f}}', 100 * r.eer), 'not run') AS "EER %",
       coalesce(format('{{:.2f}}', 100 * r.ci_low), '') AS "95 % from",
       coalesce(format('{{:.2f}}', 100 * r.ci_high), '') AS "95 % to", a.rank AS "≈ rank",
       concat_ws(', ', CASE WHEN r.simulated THEN 'simulated' END, CASE WHEN r.partial THEN 'partial' END) AS data,
       r.scenario, r.subset, r.seeds,
       CASE WHEN r.seeds > 1 THEN coalesce(format('{{:.2f}}', 100 * (r.high - r.low)), '') ELSE '' END AS "seed range",
       r.n_bonafide AS "bona fide", r.n_spoof AS spoof, coalesce(format('{{:,}}', c.parameters), '') AS parameters,
       coalesce(format('{{:.2f}}', c.ms), '') AS "ms per trial", coalesce(format('{{:.4f}}', c.factor), '') AS "real-time factor"
FROM   ranked r LEFT JOIN costs c USING (entry, protocol) LEFT JOIN alike a USING (entry, protocol, config_id)
ORDER  BY r.protocol, r.rank NULLS LAST, r.entry, r.config_id;

-- name: protocols
SELECT protocol, min(title) AS title, scenario, count(*) AS runs, count(DISTINCT entry) AS detectors,
       concat_ws(', ', CASE WHEN bool_or(simulated) THEN 'simulated' END, CASE WHEN bool_or(partial) THEN 'partial' END) AS data
FROM   current_run
GROUP  BY protocol, scenario
ORDER  BY protocol;

-- name: detectors
SELECT entry AS detector, count(*) AS runs, count(DISTINCT protocol) AS protocols,
       coalesce(format('{{:,}}', max(parameters)), '') AS parameters
FROM   current_run
GROUP  BY entry
ORDER  BY entry;

-- name: detector
SELECT protocol, config_id AS config, subset, count(*) AS seeds,
       coalesce(format('{{:.2f}}', 100 * median(value)), '') AS "EER %",
       coalesce(format('{{:.2f}}', 100 * min(value)), '') AS lowest, coalesce(format('{{:.2f}}', 100 * max(value)), '') AS highest,
       max(n_bonafide) AS "bona fide", max(n_spoof) AS spoof,
       concat_ws(', ', CASE WHEN bool_or(simulated) THEN 'simulated' END, CASE WHEN bool_or(partial) THEN 'partial' END) AS data
FROM   headline
WHERE  entry = '{entry}' AND metric = 'eer'
GROUP  BY protocol, config_id, subset
ORDER  BY protocol, config_id, subset;

-- name: diagnostics
-- A subset of one domain has one row; with several there is one more for all of them.
WITH told AS (
    SELECT *, count(DISTINCT domain) OVER (PARTITION BY run_id, subset) AS domains
    FROM   diagnostic JOIN (SELECT run_id, entry, protocol, config_id FROM current_run) USING (run_id)
    WHERE  entry = '{entry}'
)
SELECT protocol, config_id AS config, subset, coalesce(domain, 'all') AS domain, count(DISTINCT run_id) AS seeds, {columns},
       max(trials) AS trials
FROM   told
WHERE  domain IS NOT NULL OR domains <> 1
GROUP  BY protocol, config_id, subset, told.domain
ORDER  BY protocol, config_id, subset, told.domain NULLS FIRST;

-- name: runs_of_detector
SELECT run_id AS run, protocol, seed, config_id AS config, coalesce(format('{{:.2f}}', 100 * dev_eer), '') AS "dev EER %",
       best_epoch AS "best epoch", epochs, device, finished_at AS finished
FROM   current_run
WHERE  entry = '{entry}'
ORDER  BY protocol, seed, run_id;

-- name: runs_of_protocol
SELECT h.run_id AS run, h.entry AS detector, h.seed, h.config_id AS config, h.subset,
       coalesce(format('{{:.2f}}', 100 * h.value), '') AS "EER %", coalesce(format('{{:.2f}}', 100 * h.ci_low), '') AS "95 % from",
       coalesce(format('{{:.2f}}', 100 * h.ci_high), '') AS "95 % to", h.ci_method AS "interval by", h.note
FROM   headline h
WHERE  h.protocol = '{protocol}' AND h.metric = 'eer'
ORDER  BY h.value, h.run_id;

-- name: results
SELECT {one} role, subset, kind, max(n_bonafide) AS "bona fide", max(n_spoof) AS spoof,
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'eer')) AS "EER %",
       format('{{:.2f}}', 100 * max(ci_low) FILTER (metric = 'eer')) AS "95 % from",
       format('{{:.2f}}', 100 * max(ci_high) FILTER (metric = 'eer')) AS "95 % to",
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'eer_tie_safe')) AS "tie-safe EER %",
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'auc')) AS "AUC %",
       max(note) FILTER (metric = 'eer') AS note,
       format('{{:.4f}}', max(value) FILTER (metric = 'min_dcf')) AS "minDCF",
       format('{{:.4f}}', max(value) FILTER (metric = 'act_dcf')) AS "actDCF",
       format('{{:.4f}}', max(value) FILTER (metric = 'cllr')) AS "Cllr bits",
       format('{{:.4f}}', max(value) FILTER (metric = 'min_tdcf_2019')) AS "min t-DCF 2019",
       format('{{:.4f}}', max(value) FILTER (metric = 'min_tdcf_2021')) AS "min t-DCF 2021",
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'accuracy')) AS "accuracy %",
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'precision')) AS "precision %",
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'recall')) AS "recall %",
       format('{{:.2f}}', 100 * max(value) FILTER (metric = 'f1')) AS "F1 %"
FROM   result
{where}
GROUP  BY {one} role, subset, kind
ORDER  BY {one} role DESC, kind DESC, subset;

-- name: attacks
SELECT {one} subset, level AS attack, format('{{:.2f}}', 100 * value) AS "EER %", format('{{:.2f}}', 100 * ci_low) AS "95 % from",
       format('{{:.2f}}', 100 * ci_high) AS "95 % to", n_bonafide AS "bona fide", n_spoof AS spoof
FROM   breakdown
WHERE  {which} factor = 'attack' AND factor_2 IS NULL AND metric = 'eer'
ORDER  BY {one} subset, level;
