/**
 * The cookies of well-known web analytics and advertising measurement, which scripts in the browser set and read.
 *
 * Invariant: no cookie that a server may make a page from: no sessions of apps, logins, consent, languages, experiments or protection
 * from bots. Those that more than one product may use under its name are left out.
 */
export const ANALYTICS_COOKIES: readonly string[] = Object.freeze([
  // Google Analytics, its forerunner, and what Google's tags keep of campaigns
  '_ga', '_ga_*', '_gid', '_gat', '_gat_*', '_dc_gtm_*', '__utm*', '_gcl_*', '_gac_*',
  // Meta, Microsoft, LinkedIn, TikTok, Pinterest, Reddit, Snapchat
  '_fbp', '_fbc', '_clck', '_clsk', '_uetsid', '_uetvid', 'li_fat_id', '_ttp', 'ttcsid*', '_pin_unauth', '_rdt_uuid', '_scid', '_scid_r',
  // Hotjar, Matomo, Yandex Metrica, Quantcast, Snowplow, Parse.ly, Chartbeat
  '_hj*', '_pk_id*', '_pk_ses*', '_pk_ref*', '_pk_cvar*', '_ym_*', '__qca', '_sp_id*', '_sp_ses*', '_parsely_*', '_chartbeat*',
  // Mixpanel, Segment, Amplitude, PostHog, Heap, FullStory, HubSpot, Adobe Analytics, Datadog
  'mp_*', 'ajs_*', 'amplitude_id*', 'AMP_*', 'amp_*', 'ph_*', '_hp2_*', 'fs_uid', 'fs_lua', '__hstc', '__hssc', '__hssrc', 'hubspotutk',
  'AMCV_*', 'AMCVS_*', 's_cc', 's_sq', 's_vi', 's_fid', '_dd_s'
])
