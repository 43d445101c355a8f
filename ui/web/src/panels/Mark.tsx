/** The sign of Latent Loom. */
export const Mark = () => (
  <svg viewBox="0 0 24 24" width="20" height="20" aria-hidden className="brand-mark">
    <path d="M3 7c6 0 6 10 12 10h6M3 12h18M3 17c6 0 6-10 12-10h6" />
  </svg>
);
