//! Enrollment of a device: from the enrollment token to the device's item.

use std::{net::IpAddr, time::Duration};

use pki::{
    clock::Timestamp,
    names::AddressRanges,
    token::{DeviceToken, EnrollmentToken},
};

use crate::{
    deadline::Deadline,
    error::Result,
    store::{DeviceRecord, GiveBack, Store},
};

/// The time in which the device is added.
const TO_ADD: Duration = Duration::from_secs(4);
/// The time in which a use of the enrollment token is given back.
const TO_GIVE_BACK: Duration = Duration::from_secs(2);

/// A request to enroll a device.
pub struct Enrollment<'a> {
    /// The enrollment token, which is authenticated in the write that counts its use.
    pub token: &'a EnrollmentToken,
    /// The address of the caller.
    pub caller: Option<IpAddr>,
    /// The device to add.
    pub device: &'a DeviceRecord,
    /// The token that authenticates the device from then on.
    pub device_token: &'a DeviceToken,
}

/// Enrolls a device before `deadline`. Returns the address ranges of the enrollment token; `expected` are
/// those of the last time.
///
/// 1. **Redeem** the enrollment token: one write authenticates it and counts its use. Not begun unless there
///    is time for the steps that follow.
/// 2. **Add** the device, or give the use back and return the error.
///
/// A crash between the two costs one use of the token and nothing else. So does a redemption whose response
/// was lost for good, if another device enrolled with the token before the use could be given back.
///
/// # Errors
/// If a step fails or takes too long. Then no device can use `device_token`.
pub async fn enroll(
    store: &Store,
    enrollment: Enrollment<'_>,
    expected: Option<AddressRanges>,
    now: Timestamp,
    deadline: Deadline,
) -> Result<Option<AddressRanges>> {
    let Enrollment { token, caller, device, device_token } = enrollment;

    // Step 1: redeem.
    let redeem = store.redeem_enrollment_token(token, device.device_id, caller, expected, now);
    let ranges = match deadline.leaving(TO_ADD + TO_GIVE_BACK).bound(redeem).await {
        Ok(ranges) => ranges,
        Err(error) => {
            if error.is_transient() {
                let give_back = store.give_back_last_use(token, device.device_id);
                let _ = deadline.bound(give_back).await;
            }
            return Err(error);
        }
    };

    // Step 2: add, or give back.
    let add = store.create_device(device, device_token);
    match deadline.leaving(TO_GIVE_BACK).bound(add).await {
        Ok(()) => Ok(ranges),
        Err(error) => {
            match deadline.bound(store.give_back_use(token, device.device_id)).await {
                // Only the response to the last write was lost.
                Ok(GiveBack::DeviceExists) if error.is_transient() => Ok(ranges),
                _ => Err(error),
            }
        }
    }
}
