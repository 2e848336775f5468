declare const __DRIVER_VERSION__: string | undefined;

/** The version of this suite, which the build takes from package.json. */
export const DRIVER_VERSION = typeof __DRIVER_VERSION__ === 'undefined' ? 'development' : __DRIVER_VERSION__;
