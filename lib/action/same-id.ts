import { DriverError } from '../errors';

/** An id stands on the command line and in the message: two that differ mean that the wrong message was passed. */
export function expectSameId(given: number, inMessage: number, name: string): void {
  if (given === inMessage) return;
  throw new DriverError('message', `${name} is ${given}, but the message is about ${inMessage}`, {
    hint: 'Pass the message that belongs to this call',
  });
}
