import { setMaxListeners } from 'node:events';

/** Makes a signal for any number of listeners: all that is under way at once listens to it. Node takes an eleventh one for a leak, and says so on stderr. */
export function abortController(): AbortController {
  const abort = new AbortController();
  setMaxListeners(0, abort.signal);
  return abort;
}

/** A signal that fires with the first of some (AbortSignal.any, which Node has since 20.3 only). */
export function firstOf(...signals: readonly AbortSignal[]): AbortSignal {
  const first = abortController();
  for (const signal of signals) {
    if (signal.aborted) first.abort(signal.reason);
    else signal.addEventListener('abort', () => first.abort(signal.reason), { once: true, signal: first.signal });
  }
  return first.signal;
}
