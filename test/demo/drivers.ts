import { DRIVERS, type DriverName } from '../helpers/drivers';

/** What the tour has to know of a driver; everything else is the same for all. */
export interface DemoDriver {
  /** Its folder below remotes/datastore. */
  readonly name: DriverName;
  /** The program that the front-end's downloader calls. */
  readonly downloader: string;
}

/** The drivers that the demo can show. */
export const DEMO_DRIVERS: Readonly<Record<string, DemoDriver>> = Object.fromEntries(
  DRIVERS.map((name) => [name, { name, downloader: `${name}_downloader.rb` }]),
);
