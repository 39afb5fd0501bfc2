/** The keys that the stack gives its functions for the simulated platforms. */
export const SIMULATED_CREEM_KEY = 'creem_test_simulator';
export const SIMULATED_STRIPE_KEY = 'sk_test_simulator';
