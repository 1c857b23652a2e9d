/**
 * The Prometheus text format, version 0.0.4, one metric family at a time. This module knows only the grammar.
 * Names are constants of this program and trusted; label values and help texts are escaped. Pure.
 */

/** The content type of the format. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

import type { Histogram } from "../base/histogram.ts";

/** The labels of one sample. Names are trusted, values are escaped. */
export type Labels = Readonly<Record<string, string | number>>;

/** One line of a family: its labels and its value. */
export type Sample = readonly [labels: Labels, value: number];

/** A metric family as text; an empty string without samples. Names of counters must end in `_total`. */
export function family(
  name: string,
  kind: "counter" | "gauge",
  help: string,
  samples: readonly Sample[],
): string {
  if (samples.length === 0) return "";
  const lines = samples.map(([labels, value]) => `${name}${labelSet(labels)} ${numeral(value)}\n`);
  return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${kind}\n${lines.join("")}`;
}

/** A family of histograms as text; an empty string without any. The name must end in the unit. */
export function histogramFamily(
  name: string,
  help: string,
  histograms: readonly (readonly [labels: Labels, histogram: Histogram])[],
): string {
  if (histograms.length === 0) return "";
  const lines = histograms.map(([labels, { bounds, counts, sum }]) => {
    let total = 0;
    const buckets = [...bounds, Infinity].map((bound, at) => {
      total += counts[at]!;
      return `${name}_bucket${labelSet({ ...labels, le: numeral(bound) })} ${total}\n`;
    });
    const set = labelSet(labels);
    return `${buckets.join("")}${name}_sum${set} ${numeral(sum)}\n${name}_count${set} ${total}\n`;
  });
  return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} histogram\n${lines.join("")}`;
}

function labelSet(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) =>
    `${name}="${escaped(String(value)).replaceAll('"', '\\"')}"`
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function numeral(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}
