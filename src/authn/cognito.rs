//! Amazon Cognito user pools: issuer forms, claim map, what tells a service from a user.
