import type { Client } from 'ssh2';

/** Shorter than the 40 ms for which Linux delays an ACK, and long enough that a quick answer costs no packet. */
const NUDGE_EVERY_MS = 4;
const NUDGES = 10;

/**
 * Saves 40 ms of each connection; call it before `connect`. OpenSSH's sshd leaves Nagle's algorithm on: right after the
 * login it sends several small packets in a row (its host keys, their proof, the answer to the first channel), and each
 * waits for the ACK of the one before, which our kernel delays. So for the first 40 ms we send something that
 * carries the ACK: `cancel-tcpip-forward` of nothing, without an answer (RFC 4254, 7.1); one or two packets in practice.
 */
export function hastenFirstAnswers(client: Client): void {
  client.once('ready', () => {
    let left = NUDGES;
    const timer = setInterval(() => {
      left--;
      try {
        client.unforwardIn('none', 0);
      } catch {
        left = 0; // already closed
      }
      if (left <= 0) clearInterval(timer);
    }, NUDGE_EVERY_MS);
    client.once('close', () => clearInterval(timer));
  });
}
