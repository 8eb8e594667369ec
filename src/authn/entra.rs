//! Microsoft Entra ID, one tenant: its two issuers, claim map, groups overage, app-only tokens.
