/** The keys that encrypt session tickets. Loads nothing of OpenSSL. */

/** The length of `ticketKeys` in bytes: a name, a key for HMAC and one for AES (SSL_CTX_set_tlsext_ticket_key_cb(3)). */
export const TICKET_KEYS_BYTES = 16 + 32 + 32;

/** New keys for tickets. */
export function newTicketKeys(): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(TICKET_KEYS_BYTES));
}
