/**
 * A notice as the JSON that Slack, Discord or a program of the operator's own understands. Text comes
 * from check programs and servers, so nothing in it may mention people or forge a link. Pure.
 */
import { type Notice, noticeSentence } from "./incident.ts";

export type PayloadFormat = "slack" | "discord" | "json";

/** What the receiver at this URL understands, as far as its host tells. */
export function formatFor({ hostname }: URL): PayloadFormat {
  if (hostname === "hooks.slack.com") return "slack";
  return /^(.+\.)?discord(app)?\.com$/.test(hostname) ? "discord" : "json";
}

/** Discord refuses more. */
const DISCORD_MAX = 2_000;
const SLACK_MAX = 4_000;

export function payloadOf(
  format: PayloadFormat,
  notice: Notice,
): Readonly<Record<string, unknown>> {
  switch (format) {
    case "slack":
      return { text: slackText(noticeSentence(notice).slice(0, SLACK_MAX)) };
    case "discord":
      return {
        content: noticeSentence(notice).slice(0, DISCORD_MAX),
        allowed_mentions: { parse: [] },
      };
    case "json":
      return jsonOf(notice);
  }
}

/** The three characters that Slack gives a meaning: `<!channel>` would ring everybody. */
function slackText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

/**
 * The documented shape. Keys are only ever added; `schema` changes if one must go. Times are ISO 8601;
 * `from` is null when nothing was active before, `to` is null in an outage; `clients` holds what the
 * data plane counts of `held`, `retried` and `lost`, since the incident began.
 */
function jsonOf(notice: Notice): Readonly<Record<string, unknown>> {
  const { id, kind, service, time, from, to, reason, interruptedMs, incident, clients } = notice;
  return {
    schema: 2,
    id,
    kind,
    service,
    time: new Date(time).toISOString(),
    message: noticeSentence(notice),
    from: from ?? null,
    to: to ?? null,
    reason,
    interrupted_ms: Math.round(interruptedMs),
    incident: {
      started: new Date(incident.startedAt).toISOString(),
      reason: incident.reason,
      lasted_ms: Math.round(incident.lastedMs),
      finished: incident.finished,
    },
    clients,
  };
}
