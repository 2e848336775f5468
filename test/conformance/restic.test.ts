import { resticBed } from './restic-bed';
import { conformance } from './suite';

conformance('the restic engine', () => resticBed());
