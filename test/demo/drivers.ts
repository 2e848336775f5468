/** What the tour has to know of a driver; everything else is the same for all. */
export interface DemoDriver {
  /** Its folder below remotes/datastore. */
  readonly name: string;
  /** The program that the front-end's downloader calls. */
  readonly downloader: string;
  /** The attribute that slows a backup down, so that it can be cancelled. */
  readonly slow: { readonly attribute: string; readonly value: string };
}

/** The drivers that the demo can show. */
export const DEMO_DRIVERS: Readonly<Record<string, DemoDriver>> = {
  restic: {
    name: 'restic',
    downloader: 'restic_downloader.rb',
    slow: { attribute: 'RESTIC_BWLIMIT', value: '300' },
  },
};
