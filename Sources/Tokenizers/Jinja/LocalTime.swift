import Files
import Glibc

/// A date and time of day as a clock on the wall shows it: what `strftime_now` formats.
public struct LocalTime: Sendable, Equatable {
    /// The calendar year, and the month from 1 to 12, and the day from 1 to 31.
    public var year, month, day: Int
    /// Hours from 0 to 23, minutes and seconds.
    public var hour, minute, second: Int

    /// A given date and time.
    public init(year: Int, month: Int, day: Int, hour: Int = 0, minute: Int = 0, second: Int = 0) {
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
    }

    /// The current time in the local time zone.
    public static var now: LocalTime {
        var seconds = time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return LocalTime(
            year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
            hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: Int(parts.tm_sec))
    }

    /// The time in C's `strftime` format.
    func formatted(_ format: String) throws -> String {
        guard format.utf8.count <= 1000 else { throw InputError("the format of 'strftime_now' is too long") }
        var parts = tm()
        parts.tm_year = Int32(clamping: year - 1900)
        parts.tm_mon = Int32(clamping: month - 1)
        parts.tm_mday = Int32(clamping: day)
        parts.tm_hour = Int32(clamping: hour)
        parts.tm_min = Int32(clamping: minute)
        parts.tm_sec = Int32(clamping: second)
        // Fills in the day of the week and of the year.
        _ = timegm(&parts)
        var buffer = [CChar](repeating: 0, count: 65_536)
        let count = strftime(&buffer, buffer.count, format, &parts)
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
