"""Mobile numbers and e-mail addresses, told from what only looks like them."""

import re

import phonenumbers
from email_validator import EmailNotValidError, validate_email
from phonenumbers import CountryCodeSource, PhoneNumberFormat, PhoneNumberType

from gemini_core.errors import Invalid
from gemini_core.model.accounts.people import MobileNumber

# The library reads far more than numbers: extensions, `tel:`, other scripts, marks that turn the text around. So what
# it gets to see is strict already: ITU E.164, or digits where a region is known.
E164 = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
NATIONAL = re.compile(r"\d{4,15}", re.ASCII)
REGIONS = phonenumbers.SUPPORTED_REGIONS
# With what one dials to leave the country (00, 011), and not with a +.
DIALLED_ABROAD = CountryCodeSource.FROM_NUMBER_WITH_IDD
MOBILE = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


class ContactChecker:
    """`Contacts`. `region` (ISO 3166) is where numbers without `+` belong; empty: such numbers are refused."""

    def __init__(self, region: str = "") -> None:
        self._region = region or None

    def number(self, text: str) -> MobileNumber:
        national = self._region is not None and NATIONAL.fullmatch(text)
        if not (national or E164.fullmatch(text)):
            raise _not_a_number("must be in E.164 form, like +14155552671")
        try:
            number = phonenumbers.parse(text, self._region if national else None, keep_raw_input=True)
        except phonenumbers.NumberParseException:
            raise _not_a_number("is not a number that exists") from None
        if number.country_code_source == DIALLED_ABROAD:
            raise _not_a_number("must begin with + where it is of another country, like +14155552671")
        if not phonenumbers.is_valid_number(number):
            raise _not_a_number("is not a number that exists")
        if phonenumbers.number_type(number) not in MOBILE:
            raise _not_a_number("is not a mobile number")
        country = phonenumbers.region_code_for_number(number) or "ZZ"
        return MobileNumber(phonenumbers.format_number(number, PhoneNumberFormat.E164), country)

    def email(self, text: str) -> str:
        try:
            return validate_email(text.strip(), check_deliverability=False).normalized
        except EmailNotValidError:
            raise Invalid.field("email", "is not an e-mail address", "invalid_email") from None


def _not_a_number(message: str) -> Invalid:
    return Invalid.field("mobile_number", message, "invalid_number")
