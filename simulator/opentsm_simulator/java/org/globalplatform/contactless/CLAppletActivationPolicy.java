package org.globalplatform.contactless;

import javacard.framework.Shareable;

/**
 * What an application implements to have a say in its own activation.
 *
 * <p>Spec: GP Card API, org.globalplatform.contactless 1.4, CLAppletActivationPolicy.
 */
public interface CLAppletActivationPolicy extends Shareable {
    short REASON_BUSINESS_POLICY_CONFLICT = 0x0001;
    short REASON_UNSPECIFIED = 0x0003;
    short REASON_USER_NOT_VERIFIED = 0x0002;

    boolean acceptActivation();

    short getNextApplicationConflictInfo(byte[] buffer, short offset);
}
