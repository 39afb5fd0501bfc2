/** The pages of the simulated platforms. */
import { html } from 'hono/html';
import type { Checkout, Subscription } from './shop.ts';

type Html = ReturnType<typeof html>;

/** A checkout: what is bought, a button that pays, and the way back where there is one. */
export function checkoutPage({ platform, story, cancelUrl, trialDays }: Checkout): Html {
  const { product, units = 1, customer } = story;
  const total = `${((product.amount * units) / 100).toFixed(2)} ${product.currency}`;
  const what = product.billing_period
    ? `the plan ${product.name}, per ${product.billing_period.replace('_', ' ')}`
    : product.name;
  return page(
    `Simulated ${platform} checkout`,
    html`<p>${customer.email ?? customer.id} buys ${what}, ${units} × for <b>${total}</b>.</p>
      ${trialDays > 0 ? html`<p>The first ${trialDays} days are free.</p>` : ''}
      <form method="post"><button>Pay with pretend money</button></form>
      ${cancelUrl ? html`<p><a href="${cancelUrl}">Go back without paying</a></p>` : ''}`,
  );
}

/** What is shown after paying where no success_url was given. */
export function paidPage(): Html {
  return page('Paid', html`<p>The webhooks have been told. You can close this page.</p>`);
}

/** A customer's portal: the subscriptions this process knows. */
export function portalPage(customer: string, subscriptions: Subscription[], returnUrl: string | undefined): Html {
  const rows = subscriptions.map(
    ({ story, status }) =>
      html`<li>${story.subscription?.id}: ${story.product.name}, ${status}, until ${story.subscription?.period.end}</li>`,
  );
  return page(
    `Simulated portal of ${customer}`,
    html`<ul>
        ${rows.length > 0 ? rows : html`<li>No subscription was bought since the simulator started.</li>`}
      </ul>
      ${returnUrl ? html`<p><a href="${returnUrl}">Back</a></p>` : ''}`,
  );
}

function page(title: string, body: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <title>${title}</title>
      </head>
      <body style="font: 1.1em/1.5 sans-serif; max-width: 34em; margin: 4em auto">
        <h1>${title}</h1>
        ${body}
        <p><small>This is Basemeter's payment simulator, for development and tests. No money moves.</small></p>
      </body>
    </html>`;
}
