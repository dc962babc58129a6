import Glibc

/// The system's sentence for the last failed call, such as "No such file or directory".
func systemReason(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }

/// Whether something exists at a path, and whether it is a folder.
public enum PathKind: Sendable {
    /// Nothing there.
    case missing
    /// A regular file (or something read like one).
    case file
    /// A folder.
    case folder

    /// Looks at the path, following links.
    public init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else {
            self = .missing
            return
        }
        self = status.st_mode & S_IFMT == S_IFDIR ? .folder : .file
    }
}
